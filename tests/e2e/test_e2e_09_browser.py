"""A person's way through the platform, in a real browser that checks the certificate."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import e2e_web
import pytest
from e2e_platform import PUBLIC_URL, Platform
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as until
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.usefixtures("running")

BROWSER, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--no-proxy-server"),
    "--window-size=1280,900",
)
PATIENCE = 30


def trusting_home(home: Path, *, trusts: bool) -> Path:
    """A home folder whose certificate store holds the local authority, or does not."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    subprocess.run(["certutil", "-d", f"sql:{store}", "-N", "--empty-password"], check=True)
    if trusts:
        words = ["certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "local authority"]
        subprocess.run([*words, "-i", str(e2e_web.AUTHORITY)], check=True)
    return home


def browser(home: Path) -> webdriver.Chrome:
    for program in (BROWSER, DRIVER):
        assert Path(program).exists(), f"{program} is missing: apt-get install chromium chromium-driver"
    options = Options()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={home / 'profile'}"):
        options.add_argument(flag)
    # A driver that is given is not looked for in the network.
    return webdriver.Chrome(options, Service(DRIVER, env={"HOME": str(home), "PATH": "/usr/bin:/bin"}))


@pytest.fixture
def page(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    driver = browser(trusting_home(tmp_path / "home", trusts=True))
    try:
        driver.get(f"{PUBLIC_URL}/")
        yield driver
    finally:
        driver.quit()


def text_of(page: webdriver.Chrome, name: str) -> str:
    element = WebDriverWait(page, PATIENCE).until(
        until.visibility_of_element_located((By.CSS_SELECTOR, f"[data-testid='{name}']"))
    )
    return str(element.text)


def test_a_person_sends_a_message_and_reads_the_answer(
    page: webdriver.Chrome, running: Platform, artefacts: Path
) -> None:
    question = "What does a timber extension cost?"
    release = e2e_web.secure("GET", "/").headers["x-erni-release"]

    page.find_element(By.ID, "message").send_keys(question)
    WebDriverWait(page, PATIENCE).until(until.element_to_be_clickable((By.ID, "send"))).click()
    answer = text_of(page, "answer")
    page.save_screenshot(str(artefacts / "chat.png"))

    assert text_of(page, "question") == question
    assert len(answer) > 20
    assert text_of(page, "release") == release
    assert question in running.sql("select content from messages where role = 'user' order by created_at desc limit 1")
    assert (artefacts / "chat.png").stat().st_size > 10_000


def test_the_page_breaks_no_policy_of_its_own(page: webdriver.Chrome) -> None:
    text_of(page, "agents")

    assert page.title
    assert [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_browser_that_does_not_know_the_authority_refuses_the_page(tmp_path: Path) -> None:
    driver = browser(trusting_home(tmp_path / "home", trusts=False))
    try:
        driver.get(f"{PUBLIC_URL}/")
        assert "ERR_CERT_AUTHORITY_INVALID" in driver.page_source
        assert driver.find_elements(By.ID, "message") == []
    finally:
        driver.quit()
