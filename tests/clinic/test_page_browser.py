"""The page in headless Chromium: by mouse, by keyboard, in print, at any width, without network."""

import re
import shutil
import subprocess

import pytest

from mammoroi.clinic import page_images
from mammoroi.clinic.page import write_page

from .made_page import NOTICE, SHA, made_patient

sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is missing")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt)")
WIDE = {"width": 1440, "height": 900}
AS_LOADED = """() => {
    document.querySelector("dialog").close();
    actions.reset();
    input("together").checked = true;
    const greys = tools.querySelector('[name="drag"]');
    greys.checked = true;
    greys.dispatchEvent(new Event("change"));
    const theme = document.querySelector("#theme");
    if (theme.getAttribute("aria-pressed") === "true") theme.click();
    choose(panes[0]);
    panes[0].element.classList.remove("chosen");
    document.activeElement.blur();
    scrollTo(0, 0);
}"""
CANVAS = """name => {
    const canvas = document.querySelector(`#${name} canvas`);
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const greys = Array.from(data.filter((_, at) => at % 4 === 0));
    return {mean: greys.reduce((a, b) => a + b) / greys.length, levels: new Set(greys).size};
}"""


def wait(page, expression: str) -> None:
    """Wait until it is true; the page's own policy forbids Playwright's wait_for_function."""
    for _ in range(1200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {expression}")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of the made-up patient, its pictures made small so that they are means of pixels."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_images, "HEIGHT", 200)
        return write_page(made_patient(folder), folder / "page.html").as_uri()


@pytest.fixture(scope="module")
def loaded(browser, address):
    """The page, loaded once; whatever it asks for or complains about is kept."""
    page = browser.new_page(viewport=WIDE)
    page.set_default_timeout(60_000)
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    wait(page, "document.querySelectorAll('canvas').length === 6")
    yield page, asked, said
    page.close()


@pytest.fixture
def page(loaded, address):
    """The page as after loading."""
    page, asked, said = loaded
    page.emulate_media(media="screen", reduced_motion="no-preference")
    page.set_viewport_size(WIDE)
    page.evaluate(AS_LOADED)
    wait(page, "panes.every(pane => pane.layers.length && !pane.due)")
    yield page
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]


def button(page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def grey(page, name: str = "p1") -> dict:
    wait(page, "panes.every(pane => !pane.due)")
    return page.evaluate(CANVAS, name)


def box(page, selector: str) -> dict:
    return page.locator(selector).bounding_box()


def test_breasts_hang_by_the_convention(page):
    # p1 is the left MLO, p2 the left CC, p3 the right CC, p4 the right MLO.
    sheets = {name: box(page, f"#{name} .sheet") for name in ("p1", "p2", "p3", "p4")}
    for right, left in (("p3", "p2"), ("p4", "p1")):
        meet = sheets[right]["x"] + sheets[right]["width"]
        assert abs(sheets[left]["x"] - meet) <= 4
        assert sheets[left]["height"] == pytest.approx(sheets[right]["height"], rel=0.01)
    cc, mlo = sheets["p3"], sheets["p4"]
    assert (cc["x"], cc["y"]) != (mlo["x"], mlo["y"])
    assert cc["x"] <= mlo["x"] + 1
    assert cc["y"] <= mlo["y"] + 1


def test_outline_on_and_off(page):
    outline = page.locator("#p1 .outline")
    shown = page.locator("#p1").screenshot()
    assert outline.is_visible()
    button(page, "Outline").click()
    assert not outline.is_visible()
    assert button(page, "Outline").get_attribute("aria-pressed") == "false"
    assert page.locator("#p1").screenshot() != shown
    page.keyboard.press("c")
    assert outline.is_visible()
    assert page.locator("#p4 .outline").count() == 0


def test_outline_lies_on_the_lesion(page, tmp_path):
    lesion = made_patient(tmp_path).images[0].mask
    rows, columns = lesion.any(axis=1).nonzero()[0], lesion.any(axis=0).nonzero()[0]
    sheet, line = box(page, "#p1 .sheet"), box(page, "#p1 .outline .line")
    down = (line["y"] + line["height"] / 2 - sheet["y"]) / sheet["height"]
    assert down == pytest.approx((rows[0] + rows[-1] + 1) / 2 / len(lesion), abs=0.01)
    scale = sheet["height"] / len(lesion)
    across = (line["x"] + line["width"] / 2 - sheet["x"]) / scale
    assert across == pytest.approx((columns[0] + columns[-1] + 1) / 2, abs=3)


def test_window_and_level_change_the_pixels(page):
    start = grey(page)
    page.get_by_label("Level", exact=False).first.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    darker = grey(page)
    assert darker["mean"] < start["mean"]
    assert grey(page, "p3")["mean"] < start["mean"] * 2  # all pictures alike
    assert page.locator(".tools .value").nth(1).inner_text() == "60 %"
    button(page, "Reset").click()
    assert grey(page) == start
    button(page, "Invert").click()
    assert grey(page)["mean"] == pytest.approx(255 - start["mean"], abs=0.6)


def test_a_narrow_window_shows_more_levels_than_8_bits_hold(page):
    page.evaluate("setGreys({ window: 10, level: 50 })")
    assert grey(page)["levels"] > 60  # 26 of 256 levels lie in it


def test_dragging_changes_window_and_level_of_one_picture(page):
    page.get_by_label("all pictures alike").uncheck()
    before = grey(page, "p1"), grey(page, "p2")
    stage = box(page, "#p1 .stage")
    x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y - 50)
    page.mouse.up()
    assert page.locator("#p1 .state").inner_text() == "W 80 % · L 40 %"
    assert grey(page, "p1")["mean"] > before[0]["mean"]
    assert grey(page, "p2") == before[1]


def test_zoom_by_button_wheel_and_key_keeps_the_scale_true(page):
    def true_scale():
        bar = page.locator("#p1 .scale")
        length = float(bar.inner_text().split()[0])
        drawn = float(bar.evaluate("e => parseFloat(e.style.getPropertyValue('--bar'))"))
        width = page.evaluate("Number(document.querySelector('#p1').dataset.mm)")
        return drawn / length == pytest.approx(box(page, "#p1 .sheet")["width"] / width, rel=1e-3)

    first = box(page, "#p1 .sheet")["width"]
    assert true_scale()
    page.locator("#p1 .stage").click()
    page.mouse.wheel(0, -500)
    wait(page, "panes.some(pane => pane.view.zoom > 1.5)")
    assert true_scale()
    button(page, "Zoom out").click()
    page.keyboard.press("+")
    page.locator("#p1 .stage").focus()
    page.keyboard.press("+")
    assert box(page, "#p1 .sheet")["width"] > 1.8 * first
    left = box(page, "#p1 .sheet")["x"]
    page.keyboard.press("ArrowRight")
    assert box(page, "#p1 .sheet")["x"] == pytest.approx(left - 40, abs=1)
    page.keyboard.press("r")
    assert box(page, "#p1 .sheet")["width"] == pytest.approx(first)


def test_the_wheel_scrolls_over_a_picture_that_was_not_chosen(page):
    page.locator("#p2 .stage").hover()
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(200)
    assert page.evaluate("panes[1].view.zoom") == 1


def test_to_the_lesion(page):
    page.locator("#p1 .stage").focus()
    page.keyboard.press("l")
    stage, line = box(page, "#p1 .stage"), box(page, "#p1 .outline .line")
    assert line["x"] + line["width"] / 2 == pytest.approx(stage["x"] + stage["width"] / 2, abs=3)
    assert max(line["width"] / stage["width"], line["height"] / stage["height"]) > 0.45
    page.locator("#p4 .stage").focus()
    page.keyboard.press("l")
    assert page.get_by_role("status").inner_text() == "No lesion was found in this picture"


def test_measuring_gives_mm(page):
    page.get_by_label("measure").check()
    stage = box(page, "#p1 .stage")
    x, y = stage["x"] + 60, stage["y"] + stage["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 40)
    page.mouse.up()
    per_mm = box(page, "#p1 .sheet")["width"] / page.evaluate("panes.at(-1).width")
    said = float(page.locator("#p1 .state").inner_text().removesuffix(" mm"))
    assert said == pytest.approx((90**2 + 40**2) ** 0.5 / per_mm, abs=0.3)
    page.locator("#p1 .stage").focus()
    page.keyboard.press("Escape")
    assert page.locator("#p1 .ruler").count() == 0


def test_enlarged_picture_is_alone(page):
    button(page, "Enlarge Left breast, CC view").click()
    assert page.locator("#p2").is_visible()
    assert not page.locator("#p1").is_visible()
    assert not page.locator("#p3").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#p1").is_visible()
    button(page, "MLO").click()
    assert not page.locator("#p2").is_visible()
    assert page.locator("#p4").is_visible()
    page.get_by_role("link", name="Left breast, CC view").click()
    assert page.locator("#p2").is_visible()
    assert page.evaluate("document.activeElement.closest('.pane').id") == "p2"


def test_every_control_is_reached_by_keyboard_named_and_seen(page):
    seen = []
    page.locator(".skip").focus()
    for _ in range(60):
        page.keyboard.press("Tab")
        at = page.evaluate(
            """() => {
            const e = document.activeElement;
            if (e === document.body) return null;
            const label = e.closest("label")?.innerText;
            const name = e.getAttribute("aria-label") || label || e.innerText;
            const style = getComputedStyle(e);
            return {name: name.trim(), outline: style.outlineStyle, width: style.outlineWidth,
                    key: e.matches(".stage") ? e.parentElement.id : e.name || name.trim()};
        }"""
        )
        if at is None or (seen and at["key"] == seen[0]["key"]):
            break
        seen.append(at)
    assert all(one["name"] for one in seen)
    assert all(one["outline"] == "solid" and one["width"] == "3px" for one in seen), seen
    keys = [one["key"] for one in seen]
    for key in ("Light page", "All", "CC", "Outline", "window", "level", "drag"):
        assert key in keys, key
    assert [key for key in keys if key in ("p1", "p2", "p3", "p4")] == ["p3", "p2", "p4", "p1"]
    assert keys.index("window") < keys.index("p3") < keys.index("Left breast, CC view")


def test_keys_alone(page):
    page.locator("#p2 .stage").focus()
    start = grey(page, "p2")
    page.keyboard.press("Shift+ArrowUp")
    assert grey(page, "p2")["mean"] > start["mean"]
    page.keyboard.press("Shift+ArrowLeft")
    assert page.locator("#p2 .state").inner_text() == "W 96 % · L 48 %"
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys and mouse").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    page.keyboard.press("e")
    assert not page.locator("#p1").is_visible()
    page.keyboard.press("i")
    assert button(page, "Invert").get_attribute("aria-pressed") == "true"


def test_what_a_screen_reader_is_told(page):
    tree = page.locator("body").aria_snapshot()
    for part in (
        'note "Read this first"',
        'heading "patient-1" [level=1]',
        'region "Mammograms"',
        'button "Outline" [pressed]',
        'slider "Window"',
        'group "Left breast, MLO view: Lesion',
        'group "Right breast, CC view: No lesion found"',
        'article "Sentinel lymph node"',
        'img "Sentinel lymph node on a scale of 0 to 100: 34 of 100; threshold 30.0"',
        'heading "What a risk does not mean"',
    ):
        assert part in tree, part


@pytest.mark.parametrize("width", [320, 480, 768, 1024, 1280, 1920])
def test_no_width_needs_sideways_scrolling(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("p1", "p2", "p3", "p4"):
        assert box(page, f"#{name} .stage")["height"] >= 150


CONTRAST = """() => {
    const channels = text => (text.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = element => {
        for (let e = element; e; e = e.parentElement) {
            const [r, g, b, a = 1] = channels(getComputedStyle(e).backgroundColor);
            if (a === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const poor = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let count = 0;
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !e.checkVisibility()) continue;
        if (e.closest("script, style, .corner, dialog:not([open])")) continue;
        const style = getComputedStyle(e);
        const ink = e.closest("svg") ? style.fill : style.color;
        const [one, other] = [light(channels(ink)), light(behind(e))];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        count += 1;
        if (ratio < 4.5) poor.push([walker.currentNode.data.trim(), ratio, ink, behind(e)]);
    }
    return {count, poor};
}"""


def test_every_text_has_enough_contrast(page):
    for make in (
        lambda: None,
        lambda: button(page, "Light page").click(),
        lambda: page.evaluate("document.querySelector('dialog').showModal()"),
        lambda: page.emulate_media(media="print"),
    ):
        make()
        found = page.evaluate(CONTRAST)
        assert found["count"] > 60
        assert found["poor"] == []


def test_outline_is_seen_on_any_grey():
    """Its line and its casing: against each grey, one of the two has a contrast of 3 at least."""

    def light(r, g, b):
        parts = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (r, g, b)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    css = (page_images.__file__).replace("page_images.py", "page.css")
    with open(css, encoding="utf-8") as stream:  # noqa: PTH123
        text = stream.read()
    inks = {
        kind: [int(digits[at : at + len(digits) // 3].ljust(2, digits[at]), 16) / 255
               for at in range(0, len(digits), len(digits) // 3)]
        for kind, digits in re.findall(r"\.outline \.(line|casing) \{ stroke: #(\w+)", text)
    }  # fmt: skip
    assert set(inks) == {"line", "casing"}
    for grey_level in range(256):
        ground = light(*[grey_level / 255] * 3)
        ratios = [
            (max(light(*ink), ground) + 0.05) / (min(light(*ink), ground) + 0.05)
            for ink in inks.values()
        ]
        assert max(ratios) >= 3, grey_level


def test_print_shows_everything_whatever_was_chosen_before(page, tmp_path):
    button(page, "Outline").click()
    button(page, "Enlarge Left breast, CC view").click()
    page.evaluate("setGreys({ window: 5, level: 0, invert: true })")
    page.evaluate("panes[1].toLesion()")
    page.emulate_media(media="print")
    for name in ("p1", "p2", "p3", "p4"):
        assert page.locator(f"#{name} img").first.is_visible()
        assert not page.locator(f"#{name} canvas").first.is_visible()
        sheet, stage = box(page, f"#{name} .sheet"), box(page, f"#{name} .stage")
        assert sheet["width"] <= stage["width"] + 1
    assert page.locator("#p1 .outline").is_visible()
    assert not page.locator(".tools").is_visible()
    text = page.locator("body").inner_text()
    texts = (NOTICE, "34 of 100", "No answer", SHA, "No lesion found", "Research only")
    for said in texts:
        assert said in text, said
    assert "Invert" not in text
    pdf = tmp_path / "page.pdf"
    page.pdf(path=pdf)
    if shutil.which("pdftotext"):
        done = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True)
        for said in texts:
            assert said in done.stdout, said
        sheets = done.stdout.split("\f")[:-1]
        assert all("Research only" in sheet for sheet in sheets)


def test_without_scripts_pictures_and_outlines_are_there(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("#p1 img").first.is_visible()
    assert page.locator("#p1 .outline").is_visible()
    assert page.locator("#p1 .still-scale").is_visible()
    assert page.get_by_text("need JavaScript").is_visible()
    context.close()


def test_less_motion_is_respected(page):
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_a_page_without_pictures_works_too(browser, tmp_path):
    path = write_page(made_patient(tmp_path, images=()), tmp_path / "page.html")
    page = browser.new_page()
    said = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    button(page, "Light page").click()
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert said == []
    page.close()
