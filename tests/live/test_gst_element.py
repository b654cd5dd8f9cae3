"""The GStreamer element: no byte of a raw frame comes out of it, whatever happens."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from anonymize.frames import LAYOUTS, PixelFormat
from tests.live.conftest import inspected, run_example


def test_the_control_shows_that_a_leak_would_be_seen(drive):
    """The binding answers OK for a method that raised: without the element's own lock the frame comes out raw."""
    answer = drive("control")
    assert answer["out"] == 1
    assert answer["leaked"] > 40_000


def test_a_fault_at_any_line_lets_nothing_raw_out(drive):
    answer = drive("every_line")
    assert answer["leaked"] == 0
    assert answer["clean_out"] == 2  # without a fault both good frames come out
    assert answer["runs"] > 500
    assert answer["lines"] > 170
    wanted = {
        "do_start", "do_set_caps", "do_set_property", "do_sink_event", "do_propose_allocation", "do_transform_ip",
        "do_generate_output", "hide", "strip", "tell_drop",
    }  # fmt: skip
    assert wanted <= set(answer["methods"])


def test_every_method_that_raises_past_its_guard_lets_nothing_raw_out(drive):
    answers = drive("unguarded")
    assert {name.split()[0] for name in answers} == {
        "do_generate_output", "do_get_property", "do_propose_allocation", "do_set_caps", "do_set_property",
        "do_sink_event", "do_start", "do_stop", "do_transform_ip",
    }  # fmt: skip
    assert {name: answer["leaked"] for name, answer in answers.items() if answer["leaked"]} == {}
    for method in ("do_generate_output", "do_set_caps", "do_start", "do_transform_ip", "do_sink_event"):
        assert answers[f"{method} 1"]["calls"] >= 1
        assert answers[f"{method} 1"]["out"] == 0


def test_passthrough_of_the_base_class_passes_nothing(drive):
    answer = drive("passthrough")
    assert (answer["out"], answer["leaked"]) == (1, 0)  # the frame before it was switched on


def test_frames_come_out_hidden_with_their_times(drive):
    answer = drive("plain")
    assert (answer["out"], answer["leaked"]) == (3, 0)
    assert answer["pts"] == [0, 33_000_000, 66_000_000]
    assert "frames-hidden=(guint64)3" in answer["stats"]
    warmed = answer["warmed"][0]
    assert warmed["line_bytes"] == "(644, 644)"  # 642 px wide: never width times height
    assert (warmed["camera"], warmed["pixel_format"]) == ("rear", "nv12")


def test_a_frame_before_any_caps_does_not_pass(drive):
    assert drive("before_caps")["out"] == 0


def test_refused_caps_stop_the_stream_at_the_start_and_in_the_middle(drive):
    for text, answers in drive("bad_caps").items():
        assert answers["first"]["out"] == 0, text
        assert (answers["later"]["out"], answers["later"]["leaked"]) == (1, 0), text
        assert answers["later"]["flows"] == ["ok", "not-negotiated"], text
        if "YUY2" not in text:  # that one is refused by the pad already, in GStreamer's words
            assert len(answers["first"]["messages"]) == 1, text
            assert "wanted" in answers["first"]["messages"][0], text


def test_colorimetry_is_taken_over(drive):
    assert drive("colors") == {
        "bt601": ["limited", "bt601"], "bt709": ["limited", "bt709"], "bt2020": ["limited", "bt2020"],
        "1:4:0:0": ["full", "bt601"],
    }  # fmt: skip


def test_every_format_is_hidden_whole_plane_by_plane(drive):
    for name, answer in drive("formats").items():
        ours = {"I420": "yuv420p", "BGR": "bgr24", "RGB": "rgb24", "Y42B": "yuv422p", "Y444": "yuv444p"}
        layout = LAYOUTS[PixelFormat(ours.get(name, "yuv420p10le" if name == "I420_10LE" else name.lower()))]
        samples = sum(int(np.prod(shape)) for shape in layout.shapes(642, 48))
        assert (answer["hidden"], answer["leaked"]) == (samples, 0), name


def test_strides_and_offsets_of_the_buffer_are_used_and_its_gaps_blanked(drive):
    answer = drive("padded")
    assert answer["hidden"] == answer["wanted"]
    assert answer["leaked"] == 0


def test_a_buffer_that_contradicts_the_caps_is_dropped(drive):
    answer = drive("wrong_meta")
    assert answer["messages"] == ["dropped: bad_frame"] * 3
    assert (answer["pts"], answer["leaked"]) == ([33_000_000], 0)  # the second is unusual, and right


def test_corrupted_interlaced_and_two_view_buffers_are_dropped(drive):
    answer = drive("flags")
    assert answer["messages"] == ["dropped: bad_frame"] * 3
    assert (answer["out"], answer["leaked"]) == (3, 0)  # GAP, DISCONT and DELTA_UNIT say nothing about pixels


def test_metas_that_hold_a_second_picture_are_taken_off(drive):
    answer = drive("metas")
    assert answer["kinds"] == ["GstVideoTimeCodeMetaAPI"]
    assert answer["leaked"] == 0
    assert answer["raw"]  # the parent buffer is upstream's, and was not written to


def test_any_kind_of_memory_is_hidden_or_dropped(drive):
    answers = drive("memories")
    for name in ("pieces", "read-only", "shared", "large"):
        assert (answers[name]["out"], answers[name]["leaked"]) == (1, 0), name
    assert answers["shared"]["kept"]  # another holder's picture is not written to
    assert answers["small"]["messages"] == ["dropped: bad_frame"]
    assert answers["small"]["out"] == 0


def test_a_map_that_fails_drops_the_frame(drive):
    answers = drive("unmappable")
    assert {name: answer["out"] for name, answer in answers.items()} == {
        "none": 0,
        "raises": 0,
        "readonly": 0,
    }
    assert answers["raises"]["flows"] == ["error"]


def test_tags_and_events_pass_by_allow_list(drive):
    answer = drive("events")
    assert answer["tags"] == ["image-orientation"]  # no picture, no place, no free text
    assert answer["kinds"] == ["tag", "custom-downstream"]  # GstForceKeyUnit alone
    assert answer["turn"] == [90, True]


def test_whatever_the_engine_answers_but_a_hidden_frame_is_a_drop(drive):
    answers = drive("outcomes")
    assert {name: answer["out"] for name, answer in answers.items()} == dict.fromkeys(answers, 0)
    assert answers["dropped"]["messages"] == ["dropped: detector_blind"] * 2
    assert "dropped-detector-blind=(guint64)2" in answers["dropped"]["stats"]
    assert answers["dropped"]["fault"] == "told"
    assert answers["raising"]["flows"] == ["error", "error"]
    assert answers["raising"]["messages"] == ["error: RuntimeError: injected"]


def test_late_frames_are_dropped_or_passed_hidden(drive):
    answers = drive("late")
    assert answers["drop"]["messages"] == ["dropped: late", "qos"]
    assert answers["drop"]["pts"] == [0, 66_000_000]
    assert (answers["hide"]["out"], answers["hide"]["leaked"]) == (3, 0)
    assert "frames-late=(guint64)1" in answers["hide"]["stats"]


def test_settings_that_are_refused_stop_the_element(drive):
    answers = drive("settings")
    late = answers.pop("late")
    for name, answer in answers.items():
        assert not answer["started"], name
        assert answer["out"] == 0, name
        assert "wanted" in answer["messages"][0] or "refuses zones" in answer["messages"][0], name
    assert late["flows"] == ["ok", "error"]
    assert late["leaked"] == 0


def test_it_starts_anew_after_a_fault(drive):
    answer = drive("restart")
    assert (answer["out"], answer["leaked"], answer["flows"]) == (1, 0, ["ok"])


def launch(words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["gst-launch-1.0", "-m", *words.split()], env=environment, capture_output=True, text=True, timeout=240
    )


@pytest.mark.timeout(600)  # a bare machine compiles the kernels first
def test_the_real_network_hides_as_the_library_does(drive):
    answer = drive("real", "1")
    assert answer["same"], answer["fault"]
    assert answer["changed"]
    assert "objects-hidden=(guint64)0" not in answer["stats"]


def test_without_the_package_the_message_says_what_to_export(gst_environment, tmp_path):
    registry = {"GST_REGISTRY": str(tmp_path / "registry.bin"), "PYTHONPATH": ""}
    done = launch("videotestsrc num-buffers=1 ! vehicleanonymize ! fakesink", {**gst_environment, **registry})
    assert done.returncode != 0
    assert "PYTHONPATH" in done.stderr
    assert "docs/live.md" in done.stderr


def test_zones_are_refused_on_the_command_line(gst_environment):
    done = launch("videotestsrc num-buffers=1 ! vehicleanonymize zones=a.json ! fakesink", gst_environment)
    assert done.returncode != 0
    assert "refuses zones" in done.stderr


def test_the_recording_example_runs(gst_environment, tmp_path):
    output = tmp_path / "hidden.mkv"
    source = "videotestsrc num-buffers=5 ! video/x-raw,width=640,height=360"
    said = run_example("record.py", source, output, gst_environment=gst_environment)
    assert "frames-hidden=(guint64)5" in said
    assert output.stat().st_size > 1000


def test_inspect_shows_the_element(gst_environment):
    said = inspected("vehicleanonymize", gst_environment)
    for name in (
        "threads",
        "style",
        "on-fault",
        "deadline-ms",
        "camera",
        "orientation",
        "zones",
        "stats",
        "qos",
    ):
        assert f"  {name} " in said
