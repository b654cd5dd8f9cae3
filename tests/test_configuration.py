"""The site's configuration: what it says is taken, what it mistypes is refused by name."""

from __future__ import annotations

import pytest

from anonymize.configuration import CameraPart, Configuration, ZonesPart, read_configuration
from anonymize.deadline import Budget
from anonymize.errors import UsageError

WHOLE = """
[zones]
required = true
list = "signed"
root = "/srv/1.root.json"
state = "state"
datum = "gcj02"
gap = "black"

[cameras.rear]
files = "*_R.mp4"
yaw_deg = 180
field_of_view_deg = 120.5
range_m = 60
clock_offset_s = -0.5
"""


def test_all_that_is_known_is_taken(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text(WHOLE)
    assert read_configuration(path) == Configuration(
        zones=ZonesPart(
            required=True,
            list=tmp_path / "signed",
            root=(tmp_path / "/srv/1.root.json"),
            state=tmp_path / "state",
            datum="gcj02",
            gap="black",
        ),
        cameras={
            "rear": CameraPart(
                files="*_R.mp4", yaw_deg=180.0, field_of_view_deg=120.5, range_m=60.0, clock_offset_s=-0.5
            )
        },
    )


def test_an_empty_file_says_nothing(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text("")
    assert read_configuration(path) == Configuration()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[zones]\nrequierd = true", r"unknown key `zones.requierd` \(is `required` meant\?\)"),
        ("[zone]\nrequired = true", r"unknown key `zone` \(is `zones` meant\?\)"),
        ("[zones]\nrequired = 1", "`zones.required` is 1; wanted true or false"),
        ('[zones]\nrequired = "true"', "`zones.required` is 'true'; wanted true or false"),
        ("[zones]\nlist = true", "`zones.list` is True; wanted a path"),
        ('[zones]\nlist = ""', "`zones.list` is ''; wanted a path"),
        ('[zones]\ngap = "none"', "`zones.gap` is 'none'; wanted one of cut, black, split"),
        ("zones = 3", "`zones` is 3; wanted a table"),
        ("cameras = []", r"`cameras` is \[\]; wanted a table"),
        ("[cameras]\nrear = 3", "`cameras.rear` is 3; wanted a table"),
        ("[cameras.rear]\nview = 3", "unknown key `cameras.rear.view`"),
        ("[cameras.rear]\nview_m = nan", "`cameras.rear.view_m` is nan; wanted a number"),
        ("[cameras.rear]\nview_m = true", "`cameras.rear.view_m` is True; wanted a number"),
        ("[cameras.rear]\nfiles = 3", "`cameras.rear.files` is 3; wanted a text"),
        ("[zones\n", "no TOML"),
        ("[zones]\n[zones]", "no TOML"),
        ("a = " + "[" * 5000, "no TOML"),
        ("#" * (1 << 20) + "\n", "more than 1048576 bytes"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, reason):
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_configuration(path)


def test_no_file_and_no_text_are_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_configuration(tmp_path / "none.toml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no TOML"):
        read_configuration(tmp_path / "binary")


def test_deadlines_by_camera(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text('[cameras.rear]\ndeadline_ms = 50\nlate = "hide"\n[cameras.front]\nview_m = 80\n')
    assert read_configuration(file).budgets() == {"rear": Budget(50.0, "hide")}
    file.write_text('[cameras.rear]\nlate = "hide"\n')
    with pytest.raises(UsageError, match="without a deadline_ms"):
        read_configuration(file).budgets()
    file.write_text('[cameras.rear]\ndeadline_ms = 50\nlate = "pass"\n')
    with pytest.raises(UsageError, match="wanted one of drop, hide, predict"):
        read_configuration(file)
