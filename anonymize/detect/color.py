"""YUV to RGB as data."""
from __future__ import annotations
import numpy as np
from anonymize.frames import ColorMatrix, ColorRange
K={ColorMatrix.BT601:(0.299,0.114),ColorMatrix.BT709:(0.2126,0.0722),ColorMatrix.BT2020:(0.2627,0.0593)}
def rgb_from_yuv(matrix, color_range):
    kr,kb=K[matrix]; kg=1-kr-kb
    sy,sc=(255/219,255/224) if color_range is ColorRange.LIMITED else (1.,1.)
    m=np.array([[sy,0,2*(1-kr)*sc],[sy,-2*(1-kb)*kb/kg*sc,-2*(1-kr)*kr/kg*sc],[sy,2*(1-kb)*sc,0]])
    off=-(m@np.array([16. if color_range is ColorRange.LIMITED else 0.,128.,128.]))
    return m,off
