"""What a test of the dashboard plays on: two versions of a service, clients, the built proxy and a browser."""

import contextlib
import http.client
import http.server
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

# What takes longer has failed.
DEADLINE = 30


class Version:
    """One version of the service, which can be made to fail, or to answer late."""

    def __init__(self):
        version = self
        # The share of its requests that fail.
        self.fails = 0
        self.late = 0.0

        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if version.late:
                    time.sleep(version.late)
                self.send_response(500 if random.random() < version.fails else 200)
                self.send_header("Content-Length", "3")
                self.end_headers()
                self.wfile.write(b"ok\n")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = "127.0.0.1:%d" % self.server.server_address[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Clients:
    """Ask for one page after another until they are closed."""

    def __init__(self, address, threads=4, pause=0.02, paths=("/",)):
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(address, pause, paths), daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def ask(self, address, pause, paths):
        connection = None
        number = 0
        while not self.ended.is_set():
            try:
                connection = connection or http.client.HTTPConnection(address, timeout=DEADLINE)
                connection.request("GET", paths[number % len(paths)])
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection = None
            number += 1
            self.ended.wait(pause)
        if connection:
            connection.close()

    def close(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


class Proxy:
    """The built proxy in a folder of its own."""

    def __init__(self, program, configuration, admin="127.0.0.1:0", data=True):
        self.program, self.data = program, data
        self.folder = Path(tempfile.mkdtemp())
        self.configuration = configuration
        self.start(admin)

    def start(self, admin):
        file = self.folder / "portcullis.yaml"
        file.write_text(self.configuration.replace("ADMIN", admin))
        command = [self.program, "run", "--config", str(file)]
        if self.data:
            command += ["--data", str(self.folder / "data")]
        self.log = (self.folder / "log").open("w+")
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log)
        serving = eventually("the proxy serves", self.serving)
        self.listen, self.admin = serving["listen"], serving["admin"]
        self.url = "http://%s/" % self.admin

    def serving(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        for line in (self.folder / "log").read_text().splitlines():
            if '"serving"' in line:
                return json.loads(line)
        return None

    def call(self, method, path, body=None, token=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = "Bearer " + token
        with contextlib.closing(http.client.HTTPConnection(self.admin, timeout=DEADLINE)) as connection:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        assert answer.status < 300, (answer.status, text)
        return json.loads(text)

    def status(self, token=None):
        return self.call("GET", "/v1/status", token=token)

    def until(self, what, wanted, token=None):
        return eventually(what, lambda: next(filter(wanted, [self.status(token)]), None))

    def seconds_of_processor(self):
        fields = Path("/proc/%d/stat" % self.process.pid).read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def close(self):
        self.stop()
        shutil.rmtree(self.folder)


def browser(width=1280, height=1000):
    """A headless Chromium that keeps what its console says."""
    options = Options()
    options.binary_location = shutil.which("chromium")
    for argument in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", "--force-color-profile=srgb"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    look(driver, width, height)
    driver.set_script_timeout(DEADLINE)
    return driver


def look(driver, width, height=1000, dark=False):
    """As a screen of this width shows it."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def eventually(what, find):
    ends = time.monotonic() + DEADLINE
    while True:
        found = find()
        if found:
            return found
        assert time.monotonic() < ends, "not within %d s: %s" % (DEADLINE, what)
        time.sleep(0.02)
