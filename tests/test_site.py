"""The documentation as a site: built strictly, and read in a real browser without a network.

BROWSER_SCREENSHOTS=FOLDER saves screenshots of the pages in that folder.
"""

import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_browser import browser  # noqa: F401  # a fixture

from conftest import ROOT

DESKTOP, PHONE = {'width': 1280, 'height': 900}, {'width': 390, 'height': 844}
NAVIGATION = [
    'Home', 'Installation', 'Training', 'Data and tokenizers', 'Models', 'Translating',
    'Evaluating', 'Devices and workers', 'Fidelity to the book', 'The OpenGenus article',
    'Performance', 'Architecture', 'The chapter and the article', 'API reference',
    'Troubleshooting', 'Changelog',
]  # fmt: skip
SIDEBAR = '.md-nav--primary > .md-nav__list > .md-nav__item'
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """Build the site, as `make docs` does, and serve it: yields its URL."""
    if subprocess.run(['sh', '.ci/docs'], cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
        pytest.skip('the site generator cannot be installed')
    folder = tmp_path_factory.mktemp('site')
    result = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(folder)],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT / '.docs'), 'NO_MKDOCS_2_WARNING': '1'},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}/'
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that prints nothing."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(params=[DESKTOP, PHONE], ids=['desktop', 'phone'])
def page(request, browser, site):  # noqa: F811
    """The home page; nothing may be asked of another server, and nothing may fail."""
    page = browser.new_page(viewport=request.param)
    page.set_default_timeout(60_000)
    page.is_phone = request.param is PHONE
    problems = []
    page.on('console', lambda message: message.type == 'error' and problems.append(message.text))
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('request', lambda request: request.url.startswith(('http', 'ws')) and (
        request.url.startswith(site) or problems.append(request.url)))  # fmt: skip
    page.on('response', lambda response: response.status < 400 or problems.append(response.url))
    page.goto(site)
    yield page
    page.close()
    assert problems == []


def screenshot(page, name):
    folder = os.environ.get('BROWSER_SCREENSHOTS')
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        size = 'phone' if page.is_phone else 'desktop'
        page.screenshot(path=Path(folder) / f'site_{name}_{size}.png', animations='disabled')


def assert_fits(page):
    """Check that the page does not scroll sideways; tables and code do so within their box."""
    width = page.evaluate('document.documentElement.scrollWidth')
    assert width <= page.viewport_size['width'], page.url


def sidebar_links(page):
    """Return the text and the address of each entry of the navigation."""
    entries = page.locator(SIDEBAR)
    return entries.evaluate_all(
        """entries => entries.map(entry => {
            const link = entry.querySelector('a.md-nav__link');
            return [link.textContent.trim(), link.href];
        })"""
    )


def test_navigation(page):
    screenshot(page, 'home')
    links = sidebar_links(page)
    assert [text for text, _ in links] == NAVIGATION
    for number, (text, _) in list(enumerate(links))[1:]:  # home is open
        if page.is_phone:
            page.locator('label.md-header__button[for="__drawer"]').click()
            title = 'label.md-nav__title[for^="__nav"]'
            section = page.locator(f'.md-nav__item--active > nav > {title}')
            if section.count():  # the drawer shows the section of the page: go up
                section.first.click()
        page.locator(SIDEBAR).nth(number).locator('a.md-nav__link').first.click()
        page.wait_for_load_state()
        heading = page.locator('article h1')
        assert heading.count() == 1, f'{text} has one title'
        assert_fits(page)
        screenshot(page, text.lower().replace(' ', '_'))


def test_pictures_are_shown(page):
    for text, address in sidebar_links(page):
        page.goto(address)
        broken = page.locator('article img').evaluate_all(
            'images => images.filter(image => !image.naturalWidth).map(image => image.src)'
        )
        assert broken == [], text


def test_search(page, site):
    if page.is_phone:
        page.locator('label.md-header__button[for="__search"]').click()
    else:
        page.locator('.md-search__input').click()
    page.locator('.md-search__input').press_sequentially('beam_search', delay=50)
    page.locator('.md-search-result__link').first.wait_for()
    screenshot(page, 'search')
    assert '"""' not in page.locator('.md-search-result').text_content()  # no source code
    assert any('api/inference' in link.get_attribute('href')
               for link in page.locator('.md-search-result__link').all())  # fmt: skip
    page.locator('.md-search-result__link[href*="api/inference"]').first.click()
    page.wait_for_url('**/api/inference/**')
    page.locator('article h2', has_text='beam_search').first.wait_for()


def test_reference(page, site):
    page.goto(f'{site}api/training/')
    fit = page.locator('[id="d2l_seq2seq.engine.fit.fit"]')
    assert fit.count() == 1
    fit.scroll_into_view_if_needed()
    screenshot(page, 'reference')
    assert page.get_by_text('Parameters:').count() > 5
    assert_fits(page)
    page.goto(f'{site}api/runs/')
    # The fields of a configuration are described by the help texts of the options.
    assert page.get_by_text('number of sentence pairs per batch', exact=True).count() >= 1
