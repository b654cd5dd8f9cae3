"""Picture files in and out: JPEG, PNG, WebP, TIFF, BMP. The one module that imports Pillow, when first needed.

In: the file is read once, told by its content, taken apart (`containers`), and one picture of it is decoded by
the one decoder for its format. Nothing is passed to Pillow's guessing, and nothing truncated is filled up.
Out: a fresh picture from the planes of a `ReleasedFrame` and the allow-listed `PictureMetadata`, encoded to
memory first and then written under a temporary name (`output`).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.errors import MediaError
from anonymize.frames import MAX_SIDE_PX, CapturedFrame, PixelFormat, ReleasedFrame
from anonymize.media import containers
from anonymize.media.containers import Unpacked
from anonymize.media.jpeg_check import check_jpeg
from anonymize.media.metadata import (
    EXIF_IFD,
    ORIENTATION_TAG,
    TIME_TAGS,
    TURNS,
    ExifFacts,
    JpegCoding,
    PictureMetadata,
    checked_dpi,
    clean_icc_profile,
    read_exif,
)
from anonymize.media.output import check_target, require_released, write_whole
from anonymize.media.sniff import PictureFormat, read_input, require_format
from anonymize.media.tiff_check import check_tiff

if TYPE_CHECKING:
    from PIL import Image

MAX_PICTURE_PX: Final = 89_478_485  # Pillow's MAX_IMAGE_PIXELS, 0.25 GiB of RGB
JPEG_QUALITY: Final = 95  # where the source's tables are not known: another format, or a CMYK source
WEBP_QUALITY: Final = 90  # a lossy WebP does not tell the quality it was made with
_EIGHT_BIT_MODES: Final = frozenset({"L", "RGB"})
_SIXTEEN_BIT_MODES: Final = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
_DARK_LEVEL: Final = (
    64  # of 255: 16-bit samples that use less than a quarter of their range are not full-scale
)
_LOSSLESS_TIFF: Final = frozenset({"raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"})
_UNPACK: Final[dict[PictureFormat, Callable[[bytes], Unpacked]]] = {
    PictureFormat.JPEG: containers.unpack_jpeg,
    PictureFormat.PNG: containers.unpack_png,
    PictureFormat.WEBP: containers.unpack_webp,
    PictureFormat.TIFF: containers.unpack_tiff,
    PictureFormat.BMP: containers.unpack_bmp,
}


@dataclass(frozen=True, slots=True)
class CapturedPicture:
    """A picture as read: the raw frame, what may stay beside it, and what was dropped or changed, in words.

    Attributes
    ----------
    frame : CapturedFrame
        rgb24 or gray8, in memory of its own, as stored; `rotation_deg` and `mirrored` say how it stands upright.
    metadata : PictureMetadata
    notes : tuple of str
        At most two lines, "dropped: …" and "changed: …"; names only, never a value of what was dropped.
    """

    frame: CapturedFrame
    metadata: PictureMetadata
    notes: tuple[str, ...] = ()


def open_picture(path: Path | str, *, camera: str = "front") -> CapturedPicture:
    """The one picture in the file at `path`, whatever its name says, whole or not at all.

    Parameters
    ----------
    path : Path or str
        A plain file; an address, a pipe or a device is refused.
    camera : str
        Name that the frame carries.

    Returns
    -------
    CapturedPicture
        Transparent pixels are laid over white, so that all that can be seen was looked at; CMYK and YCCK become
        RGB through the embedded profile; 16-bit samples are cut to 8; 1-bit and palette pictures become gray8
        or rgb24. Each is said in `notes`.

    Raises
    ------
    MediaError
        No picture, truncated, corrupt, over `MAX_SIDE_PX` or `MAX_PICTURE_PX`, or several pictures in one file.
    """
    path = Path(path)
    try:
        content, identity = read_input(path)
        picture = read_picture(content, camera=camera)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error.__cause__
    return replace(picture, metadata=replace(picture.metadata, source=identity))


def read_picture(content: bytes, *, camera: str = "front") -> CapturedPicture:
    """The one picture in the bytes of a file; see `open_picture`. Messages name no file."""
    return _open(content, camera)


def write_picture(
    path: Path | str,
    frame: ReleasedFrame,
    metadata: PictureMetadata,
    *,
    picture_format: PictureFormat | None = None,
    overwrite: bool = False,
) -> None:
    """Write a hidden picture, all of it or nothing.

    JPEG is encoded with the source's quantisation tables and subsampling, PNG, TIFF, BMP and lossless WebP without
    loss, lossy WebP at `WEBP_QUALITY`.

    Parameters
    ----------
    path : Path or str
    frame : ReleasedFrame
        rgb24, bgr24 or gray8.
    metadata : PictureMetadata
        From `open_picture`; all that is written beside the pixels.
    picture_format : PictureFormat or None
        None: the format of the source, whatever `path` is called.
    overwrite : bool
        An existing file may be replaced, but never the source.

    Raises
    ------
    TypeError
        `frame` is anything but a `ReleasedFrame`: nothing is written.
    MediaError
        The target exists, is the source, cannot be written, or cannot hold the picture.
    """
    path = Path(path)
    require_released(frame)
    check_target(path, overwrite=overwrite, source=metadata.source)
    encoded = encode_picture(frame, metadata, picture_format=picture_format)
    write_whole(path, encoded, overwrite=overwrite, source=metadata.source)


def encode_picture(
    frame: ReleasedFrame, metadata: PictureMetadata, *, picture_format: PictureFormat | None = None
) -> bytes:
    """A hidden picture as the bytes of a file, in memory; see `write_picture`."""
    from PIL import Image

    planes = require_released(frame).planes
    if frame.pixel_format not in (PixelFormat.RGB24, PixelFormat.BGR24, PixelFormat.GRAY8):
        raise MediaError(f"a picture of {frame.pixel_format} came; wanted rgb24, bgr24 or gray8")
    wanted = metadata.picture_format if picture_format is None else PictureFormat(picture_format)
    pixels = planes[0][..., ::-1] if frame.pixel_format is PixelFormat.BGR24 else planes[0]
    if wanted is PictureFormat.BMP:  # BMP has no place for an orientation
        pixels = upright(pixels, metadata.orientation)
    stream = io.BytesIO()
    try:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        image.save(stream, format=wanted.value, **_encoding(metadata, wanted, gray=pixels.ndim == 2))
        if wanted is PictureFormat.TIFF and (times := _exif_tags(metadata)[1]):
            return containers.add_exif_directory(stream.getvalue(), times)
    except Exception as error:
        raise MediaError(f"the picture cannot be written as {wanted}: {_reason(error)}") from error
    return stream.getvalue()


def exif_block(metadata: PictureMetadata) -> bytes:
    """A fresh EXIF block of orientation and times alone, from its "Exif" on; empty where there is neither."""
    main, times = _exif_tags(metadata)
    return _build_exif(main, times) if main or times else b""


def upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """A view on `pixels` (H, W[, channels]) as it stands upright by the EXIF `orientation`, 1 to 8."""
    mirrored, rotation_deg = TURNS[orientation]
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, -rotation_deg // 90)


# -- In -----------------------------------------------------------------------------------------------------


def _open(content: bytes, camera: str) -> CapturedPicture:
    picture_format = require_format(content[:32])
    unpacked = _UNPACK[picture_format](content)
    _check_size(unpacked.width, unpacked.height)
    if picture_format is PictureFormat.JPEG:
        check_jpeg(unpacked.picture)
    try:
        image, facts = _decode(unpacked, picture_format)
        coding = _jpeg_coding(image) if picture_format is PictureFormat.JPEG else None
        profile = unpacked.icc_profile or image.info.get("icc_profile")
        compression = image.info.get("compression")
        dpi = unpacked.dpi or image.info.get("dpi")
        notes = [f"dropped: {name}" for name in dict.fromkeys(facts.dropped + unpacked.dropped)]
        pixels, profile = _to_eight_bits(image, profile, unpacked.bits, notes)
    except MediaError:
        raise
    # Pillow's decoders raise a dozen kinds of errors on damaged files, MemoryError among them.
    except Exception as error:
        raise MediaError(
            f"is truncated or corrupt: {_reason(error)}; wanted a whole {picture_format}"
        ) from error
    if profile is not None:
        kept = clean_icc_profile(profile, b"GRAY" if pixels.ndim == 2 else b"RGB ")
        if kept is None:
            notes.append("dropped: a colour profile that does not fit the pixels")
        profile = kept
    metadata = PictureMetadata(
        picture_format,
        facts.orientation,
        facts.taken,
        facts.digitized,
        facts.changed,
        profile,
        checked_dpi(*map(float, dpi)) if dpi else None,
        coding,
        webp_lossless=unpacked.lossless and picture_format is not PictureFormat.JPEG,
        tiff_compression=compression if compression in _LOSSLESS_TIFF else None,
    )
    mirrored, rotation_deg = TURNS[facts.orientation]
    frame = CapturedFrame(
        (pixels,),
        PixelFormat.GRAY8 if pixels.ndim == 2 else PixelFormat.RGB24,
        pts=0,
        time_base=Fraction(1),
        captured_at_s=facts.taken.utc_s if facts.taken else None,
        camera=camera,
        rotation_deg=rotation_deg,
        mirrored=mirrored,
    )
    return CapturedPicture(frame, metadata, _by_kind(notes))


def _by_kind(notes: list[str]) -> tuple[str, ...]:
    """One line for what was dropped, one for what was changed."""
    kinds = ("dropped: ", "changed: ")
    named = {kind: [note.removeprefix(kind) for note in notes if note.startswith(kind)] for kind in kinds}
    return tuple(kind + "; ".join(names) for kind, names in named.items() if names)


def _check_size(width: int, height: int) -> None:
    """Refuse before decoding what would not fit: a few bytes of a file can ask for gigabytes."""
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PICTURE_PX:
        raise MediaError(
            f"is a picture of {width} x {height} px; wanted at most {MAX_SIDE_PX:,} px a side "
            f"and {MAX_PICTURE_PX:,} px in all"
        )


def _decode(unpacked: Unpacked, picture_format: PictureFormat) -> tuple[Image.Image, ExifFacts]:
    """The decoded picture, and what its EXIF says. The decoder's class is called, so nothing is guessed."""
    image: Any = _decoder(picture_format)(io.BytesIO(unpacked.picture))
    _check_size(*image.size)
    if getattr(image, "n_frames", 1) != 1:
        raise MediaError(f"holds {getattr(image, 'n_frames', 1)} pictures; wanted one")
    if picture_format is PictureFormat.TIFF:
        check_tiff(unpacked.picture, image.tag_v2, 8 * MAX_PICTURE_PX)
    facts = read_exif(unpacked.exif) if unpacked.exif else ExifFacts()
    size = image.size
    image.load()
    if image.size != size or min(size) < 1:
        raise MediaError(f"is corrupt: {image.size} px were decoded; its head says {size}")
    if picture_format is PictureFormat.TIFF:  # Pillow turns a TIFF upright by itself
        facts = replace(facts, orientation=1)
    return image, facts


def _decoder(picture_format: PictureFormat) -> Callable[[io.BytesIO], Image.Image]:
    if picture_format is PictureFormat.JPEG:
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile
    if picture_format is PictureFormat.PNG:
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile
    if picture_format is PictureFormat.WEBP:
        from PIL.WebPImagePlugin import WebPImageFile

        return WebPImageFile
    if picture_format is PictureFormat.TIFF:
        from PIL.TiffImagePlugin import TiffImageFile

        return TiffImageFile
    from PIL.BmpImagePlugin import BmpImageFile

    return BmpImageFile


def _jpeg_coding(image: Any) -> JpegCoding | None:
    """How a JPEG was coded, where a picture of one or three components can be coded the same way again."""
    from PIL.JpegImagePlugin import get_sampling

    if image.mode not in _EIGHT_BIT_MODES:
        return None
    try:
        tables = tuple(tuple(image.quantization[layer[3]]) for layer in image.layer)
    except (KeyError, IndexError):
        return None
    # Other samplings (4:4:0, 4:1:1) cannot be asked of Pillow: full chroma loses nothing.
    return JpegCoding(tables, max(get_sampling(image), 0), bool(image.info.get("progressive")))


def _to_eight_bits(
    image: Image.Image, profile: bytes | None, bits: int, notes: list[str]
) -> tuple[npt.NDArray[np.uint8], bytes | None]:
    """Pixels as (H, W) or (H, W, 3) uint8 in writable memory of their own, and the profile that fits them."""
    mode = image.mode
    if (tags := getattr(image, "tag_v2", None)) is not None:
        bits = max(tags.get(0x0102, (1,)))
    if mode in _SIXTEEN_BIT_MODES:
        samples = np.asarray(image).astype(np.uint16)
        return _checked_scale((samples >> 8).astype(np.uint8), notes), profile
    if image.has_transparency_data:
        image = _over_white(image, notes)
    elif mode == "CMYK":
        image, profile = _cmyk_to_rgb(image, profile, notes), None
    elif mode == "1":
        image = image.convert("L")
    elif mode in ("P", "YCbCr"):
        image = image.convert("RGB")
    if image.mode not in _EIGHT_BIT_MODES:
        raise MediaError(f"is a picture of mode {mode}; wanted grey, RGB, palette or CMYK of 8 or 16 bits")
    pixels = np.array(image, dtype=np.uint8)
    return (_checked_scale(pixels, notes) if bits > 8 else pixels), profile


def _checked_scale(pixels: npt.NDArray[np.uint8], notes: list[str]) -> npt.NDArray[np.uint8]:
    """Refuse 12-bit samples in 16-bit words: they come out black, a detector is blind to them, an eye is not."""
    brightest = int(pixels.max())
    if brightest < _DARK_LEVEL:
        raise MediaError(
            f"is a 16-bit picture whose brightest sample is below {(brightest + 1) << 8} of 65,535; "
            "wanted samples that use their range (scale them first)"
        )
    notes.append("changed: 16-bit samples were cut to 8 bits")
    return pixels


def _over_white(image: Image.Image, notes: list[str]) -> Image.Image:
    """Lay transparent pixels over white: an alpha plane can hold a picture of its own, which nobody looks at."""
    from PIL import Image

    gray = image.mode in ("LA", "La") or (image.mode in ("L", "1") and "transparency" in image.info)
    colored = image.convert("RGBA")
    if colored.getchannel("A").getextrema() == (255, 255):
        notes.append("dropped: an alpha plane without a transparent pixel")
    else:
        white = Image.new("RGBA", colored.size, (255, 255, 255, 255))
        colored = Image.alpha_composite(white, colored)
        notes.append("changed: transparent pixels were laid over white")
    return colored.convert("RGB").convert("L") if gray else colored.convert("RGB")


def _cmyk_to_rgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """CMYK as sRGB: through the embedded profile where it can be used, else by the plain formula."""
    if profile is not None:
        from PIL import ImageCms

        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(
                image, source, target, ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = None
        if converted is not None:
            notes.append("changed: CMYK became sRGB through the embedded profile")
            return converted
    notes.append("changed: CMYK became RGB without a profile; colours may differ")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    """The decoder's own words, on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


# -- Out ----------------------------------------------------------------------------------------------------


def _encoding(metadata: PictureMetadata, wanted: PictureFormat, *, gray: bool) -> dict[str, Any]:
    """Pillow's options: all that is written beside the pixels is named here."""
    options: dict[str, Any] = {}
    if metadata.dpi is not None and wanted is not PictureFormat.WEBP:
        options["dpi"] = metadata.dpi
    if wanted is PictureFormat.BMP:
        return options
    main, times = _exif_tags(metadata)
    if main or (times and wanted is not PictureFormat.TIFF):
        options["exif"] = _build_exif(main, {} if wanted is PictureFormat.TIFF else times)
    if metadata.icc_profile is not None:
        options["icc_profile"] = metadata.icc_profile
    if wanted is PictureFormat.JPEG:
        options |= _jpeg_options(metadata.jpeg, gray=gray)
    elif wanted is PictureFormat.WEBP:
        lossless = metadata.webp_lossless
        options |= {"lossless": lossless, "exact": True, "quality": 100 if lossless else WEBP_QUALITY}
    elif wanted is PictureFormat.TIFF:
        options["compression"] = metadata.tiff_compression or "tiff_adobe_deflate"
    return options


def _jpeg_options(coding: JpegCoding | None, *, gray: bool) -> dict[str, Any]:
    """The source's tables by component; the last ones are shared where they are equal, as Pillow wants it."""
    options: dict[str, Any] = {"comment": b""}
    if coding is None or len(coding.tables) != (1 if gray else 3):
        return options | {"quality": JPEG_QUALITY, "subsampling": 0}
    luma, *chroma = coding.tables
    distinct = [luma] if set(chroma) <= {luma} else [luma, *dict.fromkeys(chroma)]
    options["qtables"] = [list(table) for table in distinct]
    options["progressive"] = coding.progressive
    return options if gray else options | {"subsampling": coding.subsampling}


def _exif_tags(metadata: PictureMetadata) -> tuple[dict[int, int | str], dict[int, str]]:
    """The tags of the main directory and of the Exif directory: orientation and times, nothing else."""
    main: dict[int, int | str] = {}
    times: dict[int, str] = {}
    if metadata.orientation != 1:
        main[ORIENTATION_TAG] = metadata.orientation
    for name, (moment_tag, subseconds_tag, offset_tag) in TIME_TAGS.items():
        time = getattr(metadata, name)
        if time is None:
            continue
        (main if name == "changed" else times)[moment_tag] = time.moment
        if time.subseconds is not None:
            times[subseconds_tag] = time.subseconds
        if time.offset is not None:
            times[offset_tag] = time.offset
    return main, times


def _build_exif(main: dict[int, int | str], times: dict[int, str]) -> bytes:
    """A fresh EXIF block."""
    from PIL import Image

    exif = Image.Exif()
    exif.update(main)
    if times:
        exif.get_ifd(EXIF_IFD).update(times)
    return exif.tobytes()
