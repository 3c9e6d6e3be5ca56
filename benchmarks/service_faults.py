r"""Does to a running service what goes wrong in a clinic, and prints what happened as a table.

A service with a fast processing (``service_fast.py``) and an Orthanc as its PACS run on loopback.
Every fault is a function that does it through the real listener or the real watched folder and
raises where something was lost or doubled (``service_faults_*.py``, by kind); at the end every
image that was accepted must have exactly one result in Orthanc::

    OMP_NUM_THREADS=1 python benchmarks/service_faults.py
    OMP_NUM_THREADS=1 python benchmarks/service_faults.py --kills 50
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import service_faults_disk
import service_faults_folder
import service_faults_images
import service_faults_pacs
import service_faults_processing
import service_faults_restart
import service_faults_sender
from service_lab import Fault, Lab

FAULTS: dict[str, Fault] = {
    **service_faults_images.FAULTS,
    **service_faults_sender.FAULTS,
    **service_faults_folder.FAULTS,
    **service_faults_processing.FAULTS,
    **service_faults_pacs.FAULTS,
    **service_faults_disk.FAULTS,
    **service_faults_restart.FAULTS,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=3, help="how often the service is killed")
    parser.add_argument("--only", help="faults whose name holds this")
    given = parser.parse_args()
    FAULTS["service is killed (SIGKILL) at random moments"] = lambda lab: iter(
        [service_faults_restart.killed_at_random(lab, given.kills)]
    )
    chosen = {n: f for n, f in FAULTS.items() if given.only is None or given.only in n}
    with tempfile.TemporaryDirectory() as name:
        lab = Lab(Path(name))
        failed = rows = 0
        try:
            print("| fault | what happened |\n|---|---|")
            for title, function in chosen.items():
                said: dict[str, None] = {}
                try:
                    for way, answer in function(lab):
                        rows += 1
                        said[f"{way}: {answer.replace(' (nothing counted)', '')}"] = None
                except Exception as error:  # noqa: BLE001  said in the table, counted below
                    failed += 1
                    said[f"**UNEXPECTED** {type(error).__name__}: {error}"] = None
                print(f"| {title} | {'; '.join(said)} |", flush=True)
            lab.sound()
            lab.check()
            print(
                f"\n{len(chosen)} faults, {rows} tries, {failed} unexpected; afterwards a sound "
                f"image is processed; {len(lab.accepted)} accepted images have one result each"
            )
        finally:
            lab.close()


if __name__ == "__main__":
    main()
