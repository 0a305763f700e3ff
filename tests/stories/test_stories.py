"""Each story in a browser, as its visitors see it, with a restart of the gateway in the middle."""

import os
from pathlib import Path

import pytest

from tests.demo.browser import Page, expect
from tests.stories.conftest import Stories

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def picture(page: Page, name: str) -> None:
    """Write what a page looks like into STORIES_PICTURES, if that is set: to be looked at."""
    if directory := os.environ.get("STORIES_PICTURES"):
        await page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)


async def test_versions_of_a_picture_come_in_every_tab_and_the_rest_to_one_that_was_closed(stories: Stories) -> None:
    profile = await stories.profile()
    first, second = await stories.open(profile, "/filters"), await stories.open(profile, "/filters")
    await first.get_by_role("button", name="Use a sample").click()
    await expect(first.locator("#versions figure")).to_have_count(8)
    await expect(first.locator("#versions img").nth(1)).to_be_visible()
    stories.node.stop()
    before = await first.locator("#versions img").count()
    assert 2 <= before < 8
    await first.close()
    stories.node.start()
    await expect(second.locator("#versions img")).to_have_count(8)
    again = await stories.open(profile, "/filters")
    late = await stories.open(profile, "/filters")
    for page in (again, late):
        await expect(page.locator("#progress")).to_have_text("8 of 8 ready")
        await expect(page.locator("#versions img")).to_have_count(8)
        sizes = await page.locator("#versions img").evaluate_all("all => Promise.all(all.map(e => e.decode()))")
        assert len(sizes) == 8, "each can be shown"
    await picture(again, "filters")
    stranger = await stories.open(await stories.profile(), "/filters")
    await expect(stranger.locator("#versions img")).to_have_count(0)


async def test_a_desktop_follows_the_phone_and_nobody_elses_does(stories: Stories) -> None:
    desktop = await stories.open(await stories.profile(), "/realname")
    stranger = await stories.open(await stories.profile(), "/realname")
    for page in (stranger, desktop):
        await page.get_by_role("button", name="Show a code").click()
        await expect(page.locator("#steps .done")).to_have_count(1)
    await expect(desktop.locator("#code")).to_be_visible()
    await picture(desktop, "realname-code")
    address = await desktop.locator("#phone").get_attribute("href")
    assert address

    phone = await stories.open(await stories.profile(), address, connected=False)
    await expect(desktop.locator("#steps .done")).to_have_count(2)
    await phone.get_by_label("Name").fill("Li Ming")
    await phone.get_by_label("Number").fill("110105194912310021")
    await phone.get_by_role("button", name="Go on").click()
    await expect(phone.locator("#trouble")).to_contain_text("last character")
    await phone.get_by_label("Number").fill("11010519491231002x")
    await phone.get_by_role("button", name="Go on").click()
    await expect(desktop.locator("#who")).to_have_text("Li Ming, 110105········002X")

    stories.node.stop()
    await expect(desktop.locator("#state")).not_to_have_text("Connected")
    await phone.get_by_role("button", name="That is me").click()
    stories.node.start()
    await expect(phone.locator("#done")).to_be_visible()
    await expect(desktop.locator("#instead")).to_have_text("Welcome, Li Ming.")
    await picture(desktop, "realname-done")
    await picture(phone, "realname-phone")
    await expect(stranger.locator("#steps .done")).to_have_count(1)
    used = await stories.open(await stories.profile(), address, connected=False)
    await expect(used.locator("#trouble")).to_contain_text("not good any more")


async def test_a_result_waits_for_a_page_that_went_away(stories: Stories) -> None:
    profile = await stories.profile()
    page = await stories.open(profile, "/liveness")
    for name in ("A photograph", "A living face"):
        await page.get_by_role("button", name=name).click()
        await expect(page.get_by_role("button", name=name)).to_be_enabled()
    results = page.locator("#results .pill")
    await expect(results).to_have_text(["Being examined"] * 2)
    await page.close()
    stories.node.stop()
    stories.node.start()
    page = await stories.open(profile, "/liveness")
    await expect(page.locator("#results .pill")).to_have_text(["Alive", "A photograph"])
    await picture(page, "liveness")
