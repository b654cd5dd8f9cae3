"""``python scripts/train/run.py STEP``: pack, teach, mine, train, export; for an accelerator travel, together."""

from __future__ import annotations

import argparse
from pathlib import Path

import pictures
import settings


def main() -> None:
    """Read the command line and run one step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["pack", "travel", "teach", "mine", "train", "together", "export"])
    parser.add_argument("--config", type=Path, default=settings.CONFIG)
    parser.add_argument("--side-px", type=int, help="pack: another size than the configuration's")
    parser.add_argument(
        "--network", default="drive", help="train, export: which of the configuration's networks"
    )
    parser.add_argument(
        "--run", help="train, export: name of the checkpoint folder; the network's, unless given"
    )
    parser.add_argument("--threads", type=int, default=1, help="export: threads of the measurements")
    parser.add_argument("--no-test", action="store_true", help="export: leave the test pictures unmeasured")
    arguments = parser.parse_args()
    config = settings.read(arguments.config, arguments.network)
    run = arguments.run or arguments.network
    work = settings.work_folder(config)
    if arguments.step == "pack":
        side_px = arguments.side_px or config["pack"]["side_px"]
        quality = config["pack"]["jpeg_quality"]
        count = pictures.pack(
            settings.data_folder(config), work / "pictures.zip", side_px=side_px, jpeg_quality=quality
        )
        print(f"{count} pictures, {(work / 'pictures.zip').stat().st_size / 1e6:.1f} MB")
    elif arguments.step == "travel":
        part_bytes = config["pack"]["part_bytes"]
        print(pictures.pack_for_travel(work / "pictures.zip", work / "travel", part_bytes), "parts")
    elif arguments.step == "teach":
        from teacher import label_faces

        print(label_faces(pictures.Pack(work / "pictures.zip"), work / "faces.json", config["teacher"]))
    elif arguments.step == "mine":
        import mine
        from train import load_pack

        found = mine.look(load_pack(work), settings.REPOSITORY / "models/anonymize_models")
        print(mine.mine(found, work / "hard.json"))
    elif arguments.step == "export":
        from export import export

        folder = settings.REPOSITORY / "models/anonymize_models"
        facts = export(
            config, work, run, folder=folder, threads=arguments.threads, test=not arguments.no_test
        )
        print(facts["threshold"], facts["time_ms"], f"difference {facts['disagreement']:.1e}")
    elif arguments.step == "together":
        from together import train_together

        train_together(config, work)
    else:
        from train import train

        train(config, work, run)


if __name__ == "__main__":
    main()
