"""`anonymize sample`: a drawn street with cars, plates and a public-domain face, to try the command on."""

from __future__ import annotations

import argparse


def execute(options: argparse.Namespace) -> int:
    """Write the picture."""
    import io

    from PIL import Image

    from anonymize.drawing import draw_street
    from anonymize.media.output import write_whole

    picture, drawn = draw_street()
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    options.file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(options.file, stream.getvalue(), overwrite=options.overwrite)
    print(f"{options.file}: drew {len(drawn)} faces and plates")
    return 0
