"""Hooks of MkDocs: files of the repository outside of docs/, and details of the API reference.

On a forge, the pages link to notebooks, sources and pictures by their paths, such as
``../notebooks/x.svg``, but MkDocs knows only the files in docs/.  So each file is copied that a
page links to, into the folder ``repository`` of the site, and the links point there.  A Markdown
file becomes a page, whose links are treated in the same way.  If setup.cfg gives the project's URL,
links to files that are neither Markdown nor pictures lead to the forge instead.  Without a URL, a
link to a folder becomes plain text.  A path that does not exist is left as it is, so that the
strict build reports it.

The page changelog.md, which on a forge is only a link, becomes the text of CHANGELOG.md.
"""

from __future__ import annotations

import configparser
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).resolve().parents[2]
FOLDER, DOCS, CHANGELOG = 'repository/', 'docs/', 'CHANGELOG.md'
COPIED = ('.md', '.svg', '.png')  # also if the project has a URL
FENCED = re.compile(r'^( *```.*?^ *```)', re.MULTILINE | re.DOTALL)
EMPTY = re.compile(r'\s*–\s*<div class="doc-md-description">\s*</div>')
LINK = re.compile(r'(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s#]+)(#[^)\s]*)?\)')


def on_files(files, config):
    """Add the files of the repository that the pages link to."""
    pages = list(files.documentation_pages())
    while pages:
        page = pages.pop()
        for path in linked_files(page.src_uri, markdown_of(page)):
            uri = site_uri(path)
            if files.get_file_from_path(uri) is None:
                content = (ROOT / path).read_bytes()
                file = File.generated(
                    config, uri, content=content, inclusion=InclusionLevel.NOT_IN_NAV
                )
                files.append(file)
                if path.endswith('.md'):
                    pages.append(file)
    return files


def on_page_markdown(markdown, page, config, files):
    """Point the links of a page to the files of the site."""
    uri, url = page.file.src_uri, project_url()

    def replaced(link: re.Match) -> str:
        mark, text, target, anchor = link.groups()
        path = repository_path(uri, target)
        text = LINK.sub(replaced, text)  # a picture that is a link
        if path is None:
            return f'{mark}[{text}]({target}{anchor or ""})'
        is_folder = (ROOT / path).is_dir()
        if url and not path.endswith(COPIED):
            return f'[{text}]({url}/{"tree" if is_folder else "blob"}/main/{path}{anchor or ""})'
        if is_folder:
            return text
        target = posixpath.relpath(site_uri(path), posixpath.dirname(uri) or '.')
        return f'{mark}[{text}]({target}{anchor or ""})'

    return outside_code(markdown_of(page.file), lambda text: LINK.sub(replaced, text))


def on_page_content(html, page, config, files):
    """Keep source code out of the search, and show no dash before an empty description."""
    source = '<details class="mkdocstrings-source"'
    return EMPTY.sub('', html.replace(source, f'{source} data-search-exclude'))


def markdown_of(file) -> str:
    """Return the text of a page, which for the page of changes is that of CHANGELOG.md."""
    if file.src_uri == site_uri(CHANGELOG):
        return (ROOT / CHANGELOG).read_text(encoding='utf-8')
    return file.content_string


def linked_files(uri: str, markdown: str) -> set[str]:
    """Return the files of the repository to which a page links, but not those in docs/."""
    paths: set[str] = set()

    def collect(text: str) -> str:
        for _, inner, target, _ in LINK.findall(text):
            paths.update(filter(None, [repository_path(uri, target)]))
            collect(inner)
        return text

    outside_code(markdown, collect)
    url = project_url()
    return {
        path
        for path in paths
        if not path.startswith(DOCS) and (ROOT / path).is_file()
        if not url or path.endswith(COPIED)
    }


def repository_path(uri: str, target: str) -> str | None:
    """Return the path of a link's target from the repository's root.

    None stands for another site, a path that does not exist, and a link from docs/ to docs/.
    """
    page = CHANGELOG if uri == site_uri(CHANGELOG) else DOCS + uri
    if uri.startswith(FOLDER):
        page = uri[len(FOLDER) :]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
    if ':' in target or path.startswith('..') or not (ROOT / path).exists():
        return None
    return None if page.startswith(DOCS) and path.startswith(DOCS) else path


def site_uri(path: str) -> str:
    """Return where a file of the repository is among the files of the site."""
    if path == CHANGELOG:
        return 'changelog.md'
    return path[len(DOCS) :] if path.startswith(DOCS) else FOLDER + path


def outside_code(markdown: str, change) -> str:
    """Change a text everywhere but in blocks of code."""
    parts = FENCED.split(markdown)
    return ''.join(part if number % 2 else change(part) for number, part in enumerate(parts))


def project_url() -> str:
    """Return the URL of the project from setup.cfg, or an empty string if it gives none."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / 'setup.cfg', encoding='utf-8')
    return settings.get('metadata', 'url', fallback='').rstrip('/')
