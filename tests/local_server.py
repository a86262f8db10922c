"""A server on this machine in place of the book's, and a text in place of the book's corpus."""

import contextlib
import http.server
import io
import threading
import zipfile

TEXT = 'Go.\tVa\u202f!\nHi.\tSalut\u00a0!\n'
PAIRS = [('Go.', 'Va\u202f!'), ('Hi.', 'Salut\u00a0!')]


def zip_of(text, name='fra-eng/fra.txt'):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for member, content in (('fra-eng/_about.txt', 'about'), (name, text)):
            # Dated 1980, so that the bytes are the same each time.
            archive.writestr(zipfile.ZipInfo(member), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as the `behaviour` of the test does."""

    behaviour = None
    num_requests = 0

    def do_GET(self):
        type(self).num_requests += 1
        self.behaviour()

    def log_message(self, *args):
        pass

    def send(self, data, length=None, status=200):
        self.send_response(status)
        self.send_header('Content-Length', str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def serving(behaviour):
    """Within it there is a server: its handler, which counts requests, and the zip's address."""
    handler = type('Handler', (Server,), {'behaviour': behaviour, 'num_requests': 0})
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield handler, f'http://127.0.0.1:{server.server_port}/fra-eng.zip'
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
