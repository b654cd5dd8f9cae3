"""A few drives of the simulation in `bench/gate_simulation.py`: the gate leaks nothing, the naive rule does."""

from __future__ import annotations

import pytest

from bench.gate_simulation import RULES, main, simulate


@pytest.mark.parametrize("urban", [False, True])
def test_a_few_drives(urban):
    naive, by_speed, held, scrubbed = (tally.percentages() for tally in simulate(25, urban=urban).values())
    assert naive[1] > 30.0
    assert by_speed[1] <= 4.0
    assert held[1] <= 4.0
    assert scrubbed[:2] == (0.0, 0.0)
    assert held[2] < scrubbed[2] < (14.0 if urban else 9.0)


def test_the_table_has_every_rule(capsys):
    assert main(["--drives", "2"]) == 0
    table = capsys.readouterr().out
    assert all(rule in table for rule in RULES)
    assert main(["--drives", "1", "--json"]) == 0
    assert '"percent"' in capsys.readouterr().out
