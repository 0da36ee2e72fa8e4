"""The dashboard in a browser: what it shows, live, and what its buttons do. tests/run calls it; by hand:

  python3 -m unittest, with PORTCULLIS, AXE and Selenium as in tests/run
"""

import hashlib
import os
import time
import unittest
from pathlib import Path

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from stage import Clients, Proxy, Version, browser, eventually, look

PROGRAM = os.environ["PORTCULLIS"]
AXE = os.environ.get("AXE")

# A machine that is busy with other tests draws late; by itself it takes some 20 ms.
SEEN_WITHIN_MS = 3000

CONFIGURATION = """
service: checkout
listen: 127.0.0.1:0
admin: { listen: ADMIN MORE }
workers: 1
shield: off
blue: { version: v1, endpoints: ["BLUE"] }
green: { version: v2, endpoints: ["GREEN"] }
release:
  steps:
  - { weight: 20%, bake: 500ms, approval: true }
  - { weight: 50%, bake: 10m }
  - { weight: 100%, bake: 1h }
gate:
  minimumRequests: 20
  warmUp: { time: 0s, requests: 0 }
  triggers:
  - { name: meltdown, metric: errorRate, above: 10%, window: 10s }
  - { name: slow, metric: latency, quantile: 0.99, above: 20s }
"""


class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.blue, cls.green = Version(), Version()
        cls.browser = browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.quit()
        cls.blue.close()
        cls.green.close()

    def setUp(self):
        self.green.fails = 0
        look(self.browser, 1280)
        self.expected = []

    def tearDown(self):
        said = [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        unexpected = [line for line in said if not any(part in line for part in self.expected)]
        self.assertEqual(unexpected, [], "the console of the browser")

    def play(self, more="", clients=True, **options):
        """A proxy with both versions and clients."""
        text = CONFIGURATION.replace("MORE", more).replace("BLUE", self.blue.address).replace("GREEN", self.green.address)
        proxy = Proxy(PROGRAM, text, **options)
        self.addCleanup(proxy.close)
        if clients:
            asking = Clients(proxy.listen)
            self.addCleanup(asking.close)
        # Nothing of another test's page goes on.
        self.addCleanup(self.browser.get, "about:blank")
        self.addCleanup(self.browser.execute_script, "sessionStorage.clear()")
        return proxy

    def open(self, proxy):
        self.browser.get(proxy.url)
        self.until_says("state", "Idle")

    def element(self, name):
        return self.browser.find_element(By.ID, name)

    def says(self, name):
        return self.browser.execute_script("return document.getElementById(arguments[0]).innerText", name)

    def until_says(self, name, text):
        return eventually("%s says %s" % (name, text), lambda: text in self.says(name))

    def button(self, act):
        return self.browser.find_element(By.CSS_SELECTOR, "#acts [data-act=%s]" % act)

    def act(self, act, reason):
        """Clicks a button, gives a reason and confirms."""
        eventually("%s can be done" % act, lambda: self.button(act).get_attribute("aria-disabled") == "false")
        self.button(act).click()
        self.element("reason").send_keys(reason)
        self.element("act-do").click()
        eventually("the dialog is closed", lambda: not self.element("act").is_displayed())

    def test_a_rollback_is_seen_live_within_half_a_second_of_the_flip(self):
        proxy = self.play()
        self.open(proxy)
        self.act("start", "v2 is here")
        self.until_says("state", "Waits for approval")
        self.act("approve", "looks well")
        self.until_says("weight", "50 %")
        self.browser.execute_script(
            """
            const state = document.getElementById("state");
            new MutationObserver(() => requestAnimationFrame(() => {
              if (state.textContent === "Rolled back") window.seenAt ??= performance.timeOrigin + performance.now();
            })).observe(state, { childList: true, characterData: true, subtree: true });
            """
        )
        self.green.fails = 1
        self.until_says("state", "Rolled back")
        seen = eventually("it was drawn", lambda: self.browser.execute_script("return window.seenAt"))
        flipped = self.browser.execute_script("return Date.parse(arguments[0])", proxy.status()["rollback"]["at"])
        print("\nthe page showed the rollback %.0f ms after the flip" % (seen - flipped))
        self.assertLess(seen - flipped, SEEN_WITHIN_MS)
        self.assertIn("green failed", self.says("sentence"))
        self.assertEqual(self.says("weight"), "0 %")
        self.assertIn("Rolled back", self.browser.title)
        self.assertIn("green failed", self.element("assertive").get_attribute("textContent"))
        eventually("the list says so too", lambda: "rolled back" in self.says("releases"))

    def test_each_button_does_what_it_says_and_its_reason_stands_in_the_timeline(self):
        proxy = self.play()
        self.open(proxy)
        self.act("start", "first reason")
        self.until_says("state", "Waits for approval")
        self.assertEqual(self.button("resume").get_attribute("title"), "it waits for an approval")
        self.act("approve", "second reason")
        proxy.until("step 2", lambda status: status["step"] == 2)
        self.until_says("left-of", "step 2 of 3")
        self.act("pause", "third reason")
        self.until_says("state", "Paused")
        self.until_says("sentence", "third reason")
        self.act("resume", "fourth reason")
        self.until_says("state", "Stepping")
        self.button("weight").click()
        percent = self.element("weight-percent")
        percent.clear()
        percent.send_keys("33.5")
        self.element("reason").send_keys("fifth reason")
        self.element("act-do").click()
        self.until_says("weight", "33.5 %")
        self.assertEqual(proxy.status()["weight"], 33.5)
        self.act("promote", "sixth reason")
        self.until_says("weight", "100 %")
        self.act("rollback", "seventh reason")
        self.until_says("state", "Rolled back")
        self.assertEqual(proxy.status()["state"], "rolledBack")
        self.assertEqual(self.button("weight").get_attribute("aria-disabled"), "true")
        for reason in ["first", "second", "third", "fourth", "fifth", "sixth", "seventh"]:
            self.until_says("events", reason + " reason")
        self.assertIn("by local", self.says("events"))

    def test_a_rollback_is_one_click_and_one_confirm_away_and_by_keys_alone_as_well(self):
        proxy = self.play(clients=False)
        proxy.call("PUT", "/v1/weight", {"weight": 5})
        self.browser.get(proxy.url)
        self.until_says("weight", "5 %")
        self.browser.execute_script("document.querySelector('#acts [data-act=rollback]').focus()")
        press = lambda key: ActionChains(self.browser).send_keys(key).perform()
        press(Keys.ENTER)
        eventually("the dialog has the focus", lambda: self.browser.switch_to.active_element.get_attribute("id") == "reason")
        press(Keys.ESCAPE)
        focused = "return document.activeElement.dataset.act"
        eventually("the button has it again", lambda: self.browser.execute_script(focused) == "rollback")
        self.assertEqual(proxy.status()["state"], "stepping")
        press(Keys.ENTER)
        eventually("the dialog is open", lambda: self.element("act").is_displayed())
        press(Keys.ENTER)
        self.until_says("state", "Rolled back")

    def test_what_the_proxy_refuses_is_said_in_the_dialog_and_what_changes_meanwhile_as_well(self):
        proxy = self.play(clients=False)
        self.open(proxy)
        self.expected = ["422"]
        self.button("start").click()
        self.element("start-version").send_keys("v3")
        self.element("start-endpoints").send_keys("nonsense")
        self.element("reason").send_keys("a test")
        self.element("act-do").click()
        self.until_says("act-wrong", "green.endpoints[0]")
        self.assertEqual(self.browser.switch_to.active_element.get_attribute("id"), "start-endpoints")
        self.assertEqual(proxy.status()["state"], "idle")
        proxy.call("POST", "/v1/release", {"reason": "somebody else"})
        self.until_says("act-changed", "a release is open")
        self.assertFalse(self.element("act-do").is_enabled())

    def test_a_consent_is_for_what_was_on_the_screen_and_is_asked_for_again_where_more_was_decided(self):
        proxy = self.play()
        self.open(proxy)
        self.expected = ["412"]
        self.act("start", "a test")
        self.until_says("state", "Waits for approval")
        self.button("approve").click()
        self.assertIn("green failed 0.0 % of", self.says("act-text"))
        self.element("reason").send_keys("looks well")
        proxy.call("POST", "/v1/release/pause", {"reason": "wait"})
        self.until_says("act-changed", "Paused")
        self.element("act-do").click()
        self.until_says("act-wrong", "wait")
        self.assertEqual(proxy.status()["step"], 1)
        self.element("act-do").click()
        eventually("the dialog is closed", lambda: not self.element("act").is_displayed())
        self.until_says("events", "looks well")

    def test_a_viewer_sees_everything_and_can_change_nothing(self):
        tokens = self.tokens(vera="viewer", otto="operator")
        proxy = self.play(", tokens: " + tokens)
        self.expected = ["401"]
        self.browser.get(proxy.url)
        eventually("it asks for a token", lambda: self.element("sign-in").is_displayed())
        self.element("token").send_keys("wrong", Keys.ENTER)
        self.until_says("sign-in-wrong", "not known")
        self.element("token").send_keys("vera's token", Keys.ENTER)
        self.until_says("state", "Idle")
        self.assertIn("vera, viewer", self.says("who"))
        self.until_says("may-not", "changes nothing")
        proxy.call("PUT", "/v1/weight", {"weight": 5}, token="otto's token")
        self.until_says("weight", "5 %")
        for button in self.browser.find_elements(By.CSS_SELECTOR, "[data-act]"):
            self.assertEqual(button.get_attribute("aria-disabled"), "true")
            self.assertIn("viewer", button.get_attribute("title"))
            self.browser.execute_script("arguments[0].click()", button)
            self.assertFalse(self.element("act").is_displayed())
            self.assertIn("viewer", self.says("toast"))
        self.assertEqual(proxy.status(token="otto's token")["weight"], 5)
        self.browser.refresh()
        self.until_says("state", "Stepping")
        self.element("sign-out").click()
        eventually("it asks again", lambda: self.element("sign-in").is_displayed())
        self.assertEqual(self.browser.get_cookies(), [])
        self.assertNotIn("token", self.browser.execute_script("return JSON.stringify(sessionStorage)"))
        self.element("token").send_keys("otto's token", Keys.ENTER)
        self.until_says("state", "Stepping")
        self.act("rollback", "a test")
        self.until_says("events", "by otto")

    def tokens(self, **roles):
        file = Path(__file__).parent / ("tokens-%d.yaml" % os.getpid())
        self.addCleanup(file.unlink)
        digest = lambda name: hashlib.sha256(("%s's token" % name).encode()).hexdigest()
        entries = ["- { name: %s, role: %s, sha256: %s }" % (name, role, digest(name)) for name, role in roles.items()]
        file.write_text("\n".join(["tokens:", *entries, ""]))
        return str(file)

    def test_it_says_that_the_connection_is_lost_and_comes_back_by_itself(self):
        proxy = self.play(clients=False)
        self.expected = ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE"]
        proxy.call("PUT", "/v1/weight", {"weight": 7, "reason": "before"})
        self.browser.get(proxy.url)
        self.until_says("weight", "7 %")
        points = "return (document.querySelector('.series.blue').getAttribute('d') ?? '').split(/[ML]/).length - 1"
        before = eventually("it has drawn two seconds", lambda: max(0, self.browser.execute_script(points) - 1))
        proxy.stop()
        eventually("it says so", lambda: self.element("lost").is_displayed())
        self.assertIn("What you see is as of", self.says("lost-text"))
        self.assertIn("Connection lost", self.element("assertive").get_attribute("textContent"))
        self.assertEqual(self.says("weight"), "7 %")
        proxy.start(proxy.admin)
        eventually("it is back", lambda: not self.element("lost").is_displayed())
        self.until_says("connection-text", "live")
        self.until_says("events", "before")
        drawn = "return document.querySelector('.series.blue').getAttribute('d').match(/[ML][^,]+/g).map((to) => Number(to.slice(1)))"
        eventually("it draws on", lambda: len(self.browser.execute_script(drawn)) > before + 1)
        places = self.browser.execute_script(drawn)
        self.assertEqual(places, sorted(places), "what came after the restart stands behind what was before it")
        self.assertIn("Connected again", self.element("polite").get_attribute("textContent"))

    def test_a_page_that_was_left_holds_no_connection_of_the_few_that_a_browser_has(self):
        proxy = self.play(clients=False)
        for _ in range(8):
            self.open(proxy)
            self.browser.get("about:blank")
        self.open(proxy)
        self.browser.back()
        self.browser.back()
        self.until_says("connection-text", "live")

    def test_the_charts_draw_both_versions_with_a_gap_where_there_was_nothing_and_the_bounds(self):
        proxy = self.play()
        proxy.call("PUT", "/v1/weight", {"weight": 50})
        self.browser.get(proxy.url)
        drawn = "return [...document.querySelectorAll('.series.%s')].map((path) => path.getAttribute('d'))"
        eventually("green is drawn", lambda: all("L" in path for path in self.browser.execute_script(drawn % "green")))
        proxy.call("PUT", "/v1/weight", {"weight": 0})
        count = "return (document.querySelectorAll('.series.green')[1].getAttribute('d').match(/[ML]/g) || []).length"
        labels = self.browser.execute_script("return [...document.querySelectorAll('.charts svg')].map((svg) => svg.getAttribute('aria-label'))")
        self.assertIn("meltdown 10 %", labels[1])
        self.assertIn("slow 20 s", labels[5])
        eventually("green has no rate", lambda: "green –" in self.browser.execute_script("return document.querySelectorAll('.chart-values')[1].innerText"))
        before = self.browser.execute_script(count)
        points = "return document.querySelectorAll('.series.blue')[1].getAttribute('d').length"
        length = self.browser.execute_script(points)
        eventually("blue goes on", lambda: self.browser.execute_script(points) > length + 20)
        self.assertEqual(self.browser.execute_script(count), before, "green's line ends where its requests did")
        self.browser.execute_script("document.querySelectorAll('.charts svg')[1].focus()")
        ActionChains(self.browser).send_keys(Keys.ARROW_LEFT).perform()
        self.assertIn("Error rate: blue 0.0 %", self.element("polite").get_attribute("textContent"))

    def test_a_past_release_is_one_click_away_with_its_decisions_and_its_report(self):
        proxy = self.play(clients=False)
        proxy.call("PUT", "/v1/weight", {"weight": 5, "reason": "a beginning"})
        proxy.call("POST", "/v1/release/rollback", {"reason": "an end"})
        self.browser.get(proxy.url)
        self.until_says("releases", "rolled back")
        self.browser.find_element(By.CSS_SELECTOR, "#releases button").click()
        self.until_says("release-events", "a beginning")
        self.until_says("release-events", "an end")
        self.browser.execute_script("window.saved = []; URL.createObjectURL = (blob) => { blob.text().then((text) => saved.push(text)); return '#'; }")
        self.element("release-report").click()
        report = eventually("the report", lambda: self.browser.execute_script("return window.saved[0]"))
        self.assertIn("an end", report)
        self.assertIn("<html", report)
        self.element("release-close").click()
        link = self.browser.find_element(By.CSS_SELECTOR, "#releases a").get_attribute("href")
        self.browser.get(link)
        self.assertIn("an end", self.browser.find_element(By.TAG_NAME, "body").text)

    def test_nothing_sticks_out_and_nothing_is_hard_to_use_for_anybody(self):
        if not AXE:
            print("\nskipped: axe-core (it is not to be had)")
        proxy = self.play()
        self.open(proxy)
        self.fits("idle")
        self.act("start", "a test")
        self.until_says("state", "Waits for approval")
        self.fits("asked")
        self.button("approve").click()
        self.fits("dialog")
        self.element("act-cancel").click()
        self.act("approve", "a test")
        self.green.fails = 1
        self.until_says("state", "Rolled back")
        self.fits("rolled back")

    def fits(self, state):
        for width, dark in ((320, False), (390, True), (1280, False)):
            look(self.browser, width, 844, dark)
            wide = self.browser.execute_script("return document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width, state)
            if AXE and width > 320:
                self.assertEqual(self.violations(), [], "%s at %d, %s" % (state, width, "dark" if dark else "light"))
        look(self.browser, 1280)

    def violations(self):
        self.browser.execute_script(Path(AXE).read_text())
        found = self.browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
        return [(of["id"], of["impact"], [node["html"][:120] for node in of["nodes"]]) for of in found if of["impact"] in ("serious", "critical")]


if __name__ == "__main__":
    unittest.main()
