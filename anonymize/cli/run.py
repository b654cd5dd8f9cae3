"""`anonymize run`: hide every face and plate of pictures, videos and folders."""

from __future__ import annotations

import argparse

from anonymize.cli import options as chosen
from anonymize.cli import summary
from anonymize.cli.detections import open_detections
from anonymize.cli.inputs import plan_run
from anonymize.cli.progress import make_progress
from anonymize.cli.work import Result, Worker
from anonymize.cli.zones_in_use import zones_in_use


def execute(options: argparse.Namespace) -> int:
    """Do all inputs, print the summary, and return 1 if one of them failed."""
    settings = chosen.settings_for_video(options)
    plan = plan_run(options.inputs, options.output)
    zones = zones_in_use(options, chosen.chosen_configuration(options), plan.jobs)
    model = chosen.chosen_model(options)
    results: list[Result] = []
    with open_detections(options.detections, overwrite=options.overwrite) as detections:
        worker = Worker(options, model, detections, zones)
        with make_progress(len(plan.jobs), quiet=options.quiet) as progress:
            for job in plan.jobs:
                results.append(worker.do(job, progress.frame))
                progress.ended(results[-1])
    values = summary.as_values(options, settings, model, plan, results, zones=zones)
    print(summary.as_json(values) if options.json else summary.as_text(values))
    return 1 if values["failed"] else 0
