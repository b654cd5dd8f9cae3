"""The pictures of a robot log, hidden message by message: one camera of an engine for each channel of pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

import numpy as np

from anonymize.archive.engines import corrected_everywhere
from anonymize.archive.log_rules import Verdict
from anonymize.archive.picture_bytes import LOSSY_TOLERANCE, verify, write_hidden
from anonymize.archive.second_look import SecondLook
from anonymize.archive.work import Moment, Tools
from anonymize.errors import MediaError
from anonymize.frames import Box, CapturedFrame, Dropped, Origin, ReleasedFrame
from anonymize.media.image_messages import CompressedImage, ImageCodec, RawImage, VideoPicture
from anonymize.media.log_records import Channel, LogMessage
from anonymize.media.packed_pixels import NANOSECOND, pack, unpack
from anonymize.media.pictures import read_picture
from anonymize.media.video_messages import VideoDecoder, VideoEncoder
from anonymize.pipeline import MAX_CAMERAS, Engine

MOMENTS: Final = 24
LOOKS: Final = 24  # of a channel, spread over its time
LEAST_STEP_NS: Final = 1_000_000_000


def check_readable(message: LogMessage, verdict: Verdict) -> None:
    """Whether pictures of this kind can be hidden; asked of the first one of each channel.

    Raises
    ------
    MediaError
        They cannot: the encoding of pixels is not known, or it is no picture file.
    """
    assert verdict.codec is not None
    image = verdict.codec.read(message.data)
    if isinstance(image, RawImage):
        unpack(image, message.time_ns, "")
    elif isinstance(image, VideoPicture):
        VideoDecoder(image.form).decode(image.data, message.time_ns, "")
    else:
        read_picture(image.data)


class LogPictures:
    """Hides the pictures of all channels of one log, and counts what it hid.

    Parameters
    ----------
    tools : Tools
    channels : sequence of Channel
        Those whose pictures are hidden.
    duration_ns : int
        Of the log: the second look is spread over it.
    """

    def __init__(self, tools: Tools, channels: list[Channel], duration_ns: int) -> None:
        settings = corrected_everywhere(tools.settings.video, tools)
        self._topics = {channel.number: channel.topic for channel in channels}
        self._places = {channel.number: place for place, channel in enumerate(channels)}
        engines = -(-len(channels) // MAX_CAMERAS)
        self._engines = [Engine(tools.model, settings, threads=tools.threads) for _ in range(engines)]
        self._second_look = SecondLook(tools, settings)
        self._step_ns = max(duration_ns // LOOKS, LEAST_STEP_NS)
        self._due_ns: dict[int, int] = {}
        self._streams: dict[int, tuple[VideoDecoder, VideoEncoder]] = {}
        self._tracks: set[tuple[int, str, int]] = set()
        self._moments: dict[tuple[int, int], Moment] = {}
        self.frames: Counter[int] = Counter()
        self.boxes: Counter[str] = Counter()
        self.objects: Counter[str] = Counter()
        self.origins: Counter[str] = Counter()
        self.confidences: Counter[int] = Counter()
        self.looks = 0
        self.removed: dict[str, None] = {}
        self.notes: dict[str, None] = {}

    def hide(self, message: LogMessage, codec: ImageCodec) -> bytes:
        """The message with its picture hidden, read again and compared.

        Raises
        ------
        MediaError
            The message cannot be read, its picture was dropped, or what was written is not what was wanted.
        SecondLookError
            The second look found what is not hidden.
        """
        try:
            image = codec.read(message.data)
            if isinstance(image, RawImage):
                data, frame, boxes = self._hide_raw(message, codec, image)
            elif isinstance(image, VideoPicture):
                data, frame, boxes = self._hide_video(message, codec, image)
            else:
                data, frame, boxes = self._hide_compressed(message, codec, image)
        except MediaError as fault:
            topic, number = self._topics[message.channel], self.frames[message.channel]
            raise MediaError(f"in picture {number} of {topic}: {fault}") from fault.__cause__
        self._look_again(message, frame, boxes)
        self._count(message, boxes)
        return data

    def _hide_raw(
        self, message: LogMessage, codec: ImageCodec, image: RawImage
    ) -> tuple[bytes, CapturedFrame, tuple[Box, ...]]:
        frame = unpack(image, message.time_ns, self._camera(message))
        hidden = self._process(message, frame)
        data = codec.write(message.data, pack(image, hidden.planes))
        written = codec.read(data)
        if not isinstance(written, RawImage) or replace(written, data=b"") != replace(image, data=b""):
            raise MediaError("a message was written in another form; nothing was kept")
        again = unpack(written, message.time_ns, frame.camera)
        if not all(np.array_equal(a, b) for a, b in zip(again.planes, hidden.planes, strict=True)):
            raise MediaError("a message was written with other pixels; nothing was kept")
        return data, again, hidden.boxes

    def _hide_compressed(
        self, message: LogMessage, codec: ImageCodec, image: CompressedImage
    ) -> tuple[bytes, CapturedFrame, tuple[Box, ...]]:
        picture = read_picture(image.data, camera=self._camera(message))
        frame = replace(picture.frame, pts=message.time_ns, time_base=NANOSECOND)
        picture = replace(picture, frame=frame)
        hidden = self._process(message, frame)
        written = write_hidden(image.data, picture, hidden)
        again = read_picture(written.content)
        verify(picture, hidden, written, again)
        data = codec.write(message.data, written.content)
        if codec.read(data) != CompressedImage(written.content):
            raise MediaError("a message was written with another picture; nothing was kept")
        self._note(picture.notes, written.notes)
        return data, replace(again.frame, pts=message.time_ns, time_base=NANOSECOND), hidden.boxes

    def _hide_video(
        self, message: LogMessage, codec: ImageCodec, image: VideoPicture
    ) -> tuple[bytes, CapturedFrame, tuple[Box, ...]]:
        if message.channel not in self._streams:
            decoder = VideoDecoder(image.form)
            self._streams[message.channel] = decoder, VideoEncoder(decoder.codec)
        decoder, encoder = self._streams[message.channel]
        frame = decoder.decode(image.data, message.time_ns, self._camera(message))
        hidden = self._process(message, frame)
        coded, again = encoder.encode(hidden, is_keyframe=decoder.is_keyframe)
        _check_fills(hidden, again)
        data = codec.write(message.data, coded)
        if codec.read(data) != VideoPicture(coded, image.form):
            raise MediaError("a message was written with another picture; nothing was kept")
        self.notes["video streams are encoded anew, every picture of them"] = None
        return data, again, hidden.boxes

    def _process(self, message: LogMessage, frame: CapturedFrame) -> ReleasedFrame:
        engine = self._engines[self._places[message.channel] // MAX_CAMERAS]
        (outcome,) = engine.process(frame)
        if isinstance(outcome, Dropped):
            raise MediaError(f"a picture was dropped as {outcome.reason}: {engine.last_fault}")
        return outcome

    def _camera(self, message: LogMessage) -> str:
        """By place: an engine serves so many names in all, and topics differ from log to log."""
        return f"camera {self._places[message.channel] % MAX_CAMERAS}"

    def _look_again(self, message: LogMessage, frame: CapturedFrame, boxes: tuple[Box, ...]) -> None:
        if message.time_ns < self._due_ns.get(message.channel, message.time_ns):
            return
        self._due_ns[message.channel] = message.time_ns + self._step_ns
        self.looks += 1
        self._second_look.check(frame, boxes, self.frames[message.channel], self._topics[message.channel])

    def _note(self, picture_notes: tuple[str, ...], written_notes: tuple[str, ...]) -> None:
        for note in picture_notes:
            if note.startswith("dropped: "):
                self.removed |= dict.fromkeys(note.removeprefix("dropped: ").split("; "))
            else:
                self.notes[note] = None
        self.notes |= dict.fromkeys(written_notes)

    def _count(self, message: LogMessage, boxes: tuple[Box, ...]) -> None:
        for box in boxes:
            label = box.label.value
            self.boxes[label] += 1
            self.origins[box.origin.value] += 1
            self.confidences[min(int(10 * box.confidence), 9)] += 1
            track = (message.channel, label, box.track)
            if box.track == -1 or track not in self._tracks:
                self.objects[label] += 1
                self._tracks.add(track)
            self._keep_moment(message, box)
        self.frames[message.channel] += 1

    def _keep_moment(self, message: LogMessage, box: Box) -> None:
        """Keep the least certain moments, one a track."""
        key = (message.channel, box.track)
        before = self._moments.get(key)
        if box.origin is Origin.STATIC:
            return
        if before is not None and before.confidence <= box.confidence:
            return
        self._moments[key] = Moment(
            message.time_ns * 1e-9, self.frames[message.channel], box.label.value, box.xyxy, box.confidence,
            box.origin.value, self._topics[message.channel],
        )  # fmt: skip
        if len(self._moments) > MOMENTS:
            del self._moments[max(self._moments, key=lambda one: self._moments[one].confidence)]

    def moments(self) -> tuple[Moment, ...]:
        """The least certain moments, least certain first."""
        return tuple(sorted(self._moments.values(), key=lambda moment: moment.confidence))


def _check_fills(hidden: ReleasedFrame, again: CapturedFrame) -> None:
    """The luma of each hidden area, decoded again, beside its fill."""
    for box in hidden.boxes:
        x1, y1, x2, y2 = box.hidden_xyxy
        wanted, came = (
            planes[0][y1:y2, x1:x2].astype(np.float32) for planes in (hidden.planes, again.planes)
        )
        if wanted.size and (levels := float(np.abs((came - wanted).mean()))) > LOSSY_TOLERANCE:
            raise MediaError(
                f"was written with a {box.label} that is {levels:.0f} levels from its fill; nothing was kept"
            )
