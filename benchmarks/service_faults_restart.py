"""Faults of the service itself: stopped, killed, started twice, or on a home that is damaged."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

from service_lab import Fault, Lab, Row, begin_to_send, catalogue, with_service
from service_parts import Service, send, wait_for

FAULTS: dict[str, Fault] = {}
fault = catalogue(FAULTS)


@fault("service is stopped (SIGTERM) during a case")
def stopped(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(ImageComments="do:hang")
    lab.deliver(dataset)
    wait_for(lambda: lab.service.health()["cases"]["working"], 30, "working")
    lab.service.settings["stop_s"] = 0.5
    code = lab.service.stop()
    where = lab.service.where()
    assert code in (0, 0), code
    lab.service.start()
    wait_for(lambda: lab.service.health()["failed"].get("timeout"), 60, "timeout")
    assert "working" not in where, where
    yield "service", f"exit code {code}; the case was put back and taken up at the next start"


@fault("second service with the same home")
def second(lab: Lab) -> Iterator[Row]:
    other = Service(lab.folder / "other", home=str(lab.service.home))
    other.start(wait=False)
    assert other.process is not None
    code = other.process.wait(600)
    assert code == 1, code
    assert "another mammoroi serve uses it" in other.log.read_text()
    yield "service", f"refused, exit code {code}; the first goes on"


@fault("service is killed in the middle of an image")
def killed_mid_image(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(shape=(900, 900))
    association = begin_to_send(lab, dataset, 50_000)
    lab.service.kill()
    association.abort()
    lab.service.start()
    answer = lab.by_listener(dataset)
    assert answer == "status 0000 (received)", answer
    lab.has_result(dataset.SOPInstanceUID)
    yield "listener", "nothing was kept of it; sent again: " + answer


@fault("notes in home are damaged, half files lie about")
def damaged_home(lab: Lab) -> Iterator[Row]:
    lab.sound()
    lab.service.wait_idle()
    lab.service.stop()
    home = lab.service.home
    records = list(home.glob("done/*/record.json"))
    records[0].write_text("{half")
    (home / "parts" / "rest").write_bytes(bytes(100))
    (home / "incoming" / "0123456789abcdef" / "images").mkdir(parents=True)
    (home / "working" / "fedcba9876543210" / "images").mkdir(parents=True)
    (home / "working" / "fedcba9876543210" / "tries.json").write_text("[]")
    lab.service.start()
    lab.sound()
    lab.service.wait_idle()
    assert not list((home / "parts").iterdir())
    yield "service", "starts, empties parts/, goes on"


@fault("key is damaged")
def damaged_key(lab: Lab) -> Iterator[Row]:
    other = with_service(lab, "key").start()
    other.stop()
    (other.home / "key").write_bytes(b"short")
    code = other.start(wait=False).process.wait(600)  # type: ignore[union-attr]
    said = other.log.read_text().splitlines()[-1]
    assert code == 1, code
    assert "is damaged" in said, said
    yield "service", f"does not start, exit code {code}, says to restore it"


def killed_at_random(lab: Lab, kills: int, seed: int = 0) -> Row:
    """Kill the service again and again while images come both ways; nothing may be lost."""
    generator = random.Random(seed)
    stop = threading.Event()
    confirmed: set[str] = set()

    def feed() -> None:
        while not stop.is_set():
            dataset = lab.fresh(ImageComments="do:slow" if generator.random() < 0.3 else "")
            if generator.random() < 0.7:
                while not stop.is_set():  # a sender tries until it is told "success"
                    if send(lab.service.port, [dataset]) == [0]:
                        confirmed.add(str(dataset.SOPInstanceUID))
                        break
                    time.sleep(0.05)
            else:
                part = lab.service.watched / ".feed"
                part.write_bytes(lab.file(dataset))
                part.rename(part.with_name(f"{dataset.SOPInstanceUID}.dcm"))
                confirmed.add(str(dataset.SOPInstanceUID))
            time.sleep(generator.uniform(0.1, 0.5))

    feeder = threading.Thread(target=feed)
    feeder.start()
    interrupted = 0
    for _ in range(kills):
        time.sleep(generator.uniform(0.0, 2.5))
        lab.service.kill()
        interrupted += any((lab.service.home / "working").iterdir())
        lab.service.start(wait=generator.random() < 0.7)
    stop.set()
    feeder.join()
    wait_for(lab.service._runs, 120)
    wait_for(lambda: not list(lab.service.watched.glob("*.dcm")), 120, "the folder is empty")
    lab.service.wait_idle(300)
    lab.accepted |= confirmed
    lab.check()
    return "service", (
        f"killed {kills} times, {interrupted} times during a case; {len(confirmed)} images, "
        f"each with one result in the PACS"
    )


@fault("service is killed (SIGKILL) at random moments")
def killed(lab: Lab) -> Iterator[Row]:
    yield killed_at_random(lab, 3)
