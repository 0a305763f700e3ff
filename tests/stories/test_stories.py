"""Each story in a browser, as its visitors see it, with a restart of the gateway in the middle."""

import os
from pathlib import Path

import pytest

from tests.rig.browser import Page, expect
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


async def test_a_busy_stream_is_shown_in_few_lines_and_what_was_missed_is_counted(stories: Stories) -> None:
    page = await stories.open(await stories.profile(), "/comments")
    await page.get_by_label("Your comment").fill("first")
    await page.get_by_role("button", name="Say").click()
    await expect(page.locator("#comments li")).to_have_count(1)
    await page.get_by_role("button", name="Let the audience talk").click()
    await expect(page.locator("#comments li")).to_have_count(40)
    stories.node.stop()
    stories.node.start()
    await expect(page.locator("#state")).to_have_text("Connected")
    await page.get_by_label("Your comment").fill("<b>last</b>")
    await page.get_by_role("button", name="Say").click()
    await expect(page.get_by_text("<b>last</b>")).to_be_attached()
    await page.wait_for_function("document.querySelector('#missed').textContent !== '0'")
    await picture(page, "comments")
    assert await page.locator("#comments li").count() <= 40


async def test_two_parties_sign_and_each_sees_what_the_other_does(stories: Stories) -> None:
    clerk = await stories.open(await stories.profile(), "/contract", connected=False)
    await clerk.get_by_role("button", name="Draw it up").click()
    links = [await link.get_attribute("href") for link in await clerk.locator("#links a").all()]
    await picture(clerk, "contract-terms")
    assert len(links) == 2
    ada = await stories.open(await stories.profile(), links[0] or "")
    states = ada.locator("#parties .pill")
    await expect(states).to_have_text(["Reading", "Has not opened it"])
    profile = await stories.profile()
    charles = await stories.open(profile, links[1] or "")
    await expect(states).to_have_text(["Reading", "Reading"])

    await charles.close()
    await ada.get_by_role("button", name="Write my name").click()
    await ada.get_by_role("button", name="Sign", exact=True).click()
    await expect(states).to_have_text(["Signed", "Reading"])
    stories.node.stop()
    stories.node.start()
    charles = await stories.open(profile, links[1] or "")
    box = await charles.locator("#pad").bounding_box()
    assert box
    await charles.mouse.move(box["x"] + 60, box["y"] + 120)
    await charles.mouse.down()
    for step in range(12):
        await charles.mouse.move(box["x"] + 80 + step * 25, box["y"] + 60 + 60 * (step % 2))
    await charles.mouse.up()
    await charles.get_by_role("button", name="Sign", exact=True).click()
    for page in (ada, charles):
        await expect(page.locator("#parties .pill")).to_have_text(["Signed", "Signed"])
    await picture(ada, "contract")


async def test_the_first_page_leads_to_all_stories(stories: Stories) -> None:
    page = await stories.open(await stories.profile(), "/", connected=False)
    links = await page.locator(".stories a").evaluate_all("all => all.map(e => e.pathname)")
    assert links == ["/filters", "/realname", "/liveness", "/comments", "/contract"]
    await picture(page, "first")
    for path in links:
        await page.goto(stories.url + path)
        await expect(page.locator("h1")).to_be_visible()
        await page.set_viewport_size({"width": 340, "height": 700})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 340, path
