"""Faults of the processing: it crashes, hangs, eats the memory, raises, finds nothing."""

from __future__ import annotations

from collections.abc import Iterator

from service_lab import Fault, Lab, Row, catalogue
from service_parts import study, wait_for

FAULTS: dict[str, Fault] = {}
fault = catalogue(FAULTS)


def fails(lab: Lab, word: str, reason: str) -> str:
    """Have a case fail in the process: it ends in failed/, and is tried anew when sent again."""
    dataset = lab.fresh(ImageComments=f"do:{word}")
    before = lab.service.health()["failed"].get(reason, 0)
    lab.deliver(dataset)
    wait_for(lambda: lab.service.health()["failed"].get(reason, 0) == before + 1, 60, reason)
    lab.deliver(dataset)
    wait_for(lambda: lab.service.health()["failed"].get(reason, 0) == before, 60, "taken out")
    wait_for(lambda: lab.service.health()["failed"].get(reason, 0) == before + 1, 60, reason)
    lab.sound()
    return f"failed/{reason}; sent again: tried again; the next case is processed"


@fault("processing crashes (segmentation fault)")
def crashes(lab: Lab) -> Iterator[Row]:
    yield "processing", fails(lab, "crash", "crash")


@fault("processing hangs")
def hangs(lab: Lab) -> Iterator[Row]:
    yield "processing", fails(lab, "hang", "timeout")


@fault("processing eats the memory")
def eats(lab: Lab) -> Iterator[Row]:
    yield "processing", fails(lab, "memory", "memory")


@fault("processing raises an error whose text names the patient")
def raises(lab: Lab) -> Iterator[Row]:
    yield "processing", fails(lab, "error", "error")


@fault("processing writes nothing")
def nothing(lab: Lab) -> Iterator[Row]:
    yield "processing", fails(lab, "nothing", "no-result")


@fault("one image of four is unusable")
def one_of_four(lab: Lab) -> Iterator[Row]:
    views = study(f"F{next(lab._number)}")
    views[2].ImageComments = "do:fail"
    lab.deliver(*views)
    for view in (views[0], views[1], views[3]):
        lab.has_result(view.SOPInstanceUID)
        lab.accepted.add(str(view.SOPInstanceUID))
    lab.service.wait_idle()
    assert lab.service.health()["failed"]["images"] == 1
    yield "processing", "three results in the PACS; the fourth image in failed/images"
