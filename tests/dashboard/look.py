"""By hand: pictures of the dashboard's states to look at, and what it costs.

  look.py FOLDER
"""

import os
import sys
import time
from pathlib import Path

from stage import Clients, Proxy, Version, browser, eventually, look
from test_dashboard import PROGRAM

CONFIGURATION = """
service: checkout
listen: 127.0.0.1:0
admin: { listen: ADMIN }
workers: 1
blue: { version: v1.1.0, endpoints: ["BLUE"] }
green: { version: v1.2.0, endpoints: ["GREEN"] }
routes:
- { name: cart, paths: ["/cart"] }
- { name: pay, paths: ["/pay"] }
release:
  steps:
  - { weight: 5%, bake: 8s }
  - { weight: 25%, bake: 20s, approval: true }
  - { weight: 50%, bake: 10m, approval: true }
  - { weight: 100%, bake: 1h }
gate:
  minimumRequests: 50
  warmUp: { time: 0s, requests: 0 }
  triggers:
  - { name: error-spike, metric: errorRate, above: 3%, sustained: 5m, action: rollback }
  - { name: meltdown, metric: errorRate, above: 10%, window: 10s, action: rollback }
  - { name: slow, metric: latency, quantile: 0.99, above: 200ms, sustained: 10m, action: rollback }
  - { name: five-times, metric: latency, quantile: 0.95, aboveBlue: 5, action: pause }
"""

COST_SECONDS = 20


def picture(driver, folder, state, whole=True):
    for width in (1280, 390):
        for dark in (False, True):
            look(driver, width, 844, dark)
            height = driver.execute_script("return document.documentElement.scrollHeight") if whole else 844
            look(driver, width, max(height, 844), dark)
            time.sleep(0.3)
            driver.save_screenshot(str(folder / ("%s-%d-%s.png" % (state, width, "dark" if dark else "light"))))
    look(driver, 1280)


def pictures(driver, proxy, green, folder):
    state = "return document.getElementById('state').textContent"
    until = lambda name: eventually(name, lambda: driver.execute_script(state) == name)
    driver.get(proxy.url)
    until("Idle")
    time.sleep(3)
    picture(driver, folder, "idle")
    proxy.call("POST", "/v1/release", {"reason": "v1.2.0 is here"})
    proxy.until("the second step", lambda status: status["step"] == 2)
    time.sleep(3)
    picture(driver, folder, "stepping")
    until("Waits for approval")
    picture(driver, folder, "asked")
    driver.execute_script("document.querySelector('[data-act=approve]').click()")
    picture(driver, folder, "dialog", whole=False)
    driver.execute_script("document.getElementById('act').close()")
    proxy.call("POST", "/v1/release/pause", {"reason": "the database team wants to look first"})
    until("Paused")
    picture(driver, folder, "paused")
    green.fails = 1
    until("Rolled back")
    time.sleep(3)
    picture(driver, folder, "rolled-back")
    proxy.stop()
    eventually("lost", lambda: driver.execute_script("return !document.getElementById('lost').hidden"))
    picture(driver, folder, "lost", whole=False)


def costs(driver, proxy):
    driver.get("about:blank")
    time.sleep(1)
    spent = []
    for url in ("about:blank", proxy.url):
        driver.get(url)
        time.sleep(2)
        before = proxy.seconds_of_processor()
        time.sleep(COST_SECONDS)
        spent.append(100 * (proxy.seconds_of_processor() - before) / COST_SECONDS)
    print("an open tab costs the proxy %.2f %% of a core (%.2f %% without, %.2f %% with)" % (spent[1] - spent[0], *spent))
    paints = []
    for _ in range(10):
        driver.get("about:blank")
        driver.get(proxy.url)
        paint = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        paints.append(eventually("a paint", lambda: driver.execute_script(paint)))
    print("first paint after %.0f ms, the slowest of ten %.0f ms" % (sorted(paints)[5], max(paints)))


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    blue, green = Version(), Version()
    text = CONFIGURATION.replace("BLUE", blue.address).replace("GREEN", green.address)
    proxy = Proxy(PROGRAM, text)
    driver = browser()
    try:
        costs(driver, proxy)
        if os.environ.get("COSTS_ALONE"):
            return
        clients = Clients(proxy.listen, threads=6, paths=("/cart", "/pay", "/"))
        pictures(driver, proxy, green, folder)
        clients.close()
    finally:
        driver.quit()
        proxy.close()


if __name__ == "__main__":
    main()
