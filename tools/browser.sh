#!/bin/sh
# What the tests of the viewers need beside the dev tools: Debian's Chromium and axe-core. Installs what is missing if it can, and says so if it cannot.
cd "$(dirname "$0")/.." || exit 0
root=""
[ "$(id -u)" = 0 ] || root="sudo -n"
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null && [ -z "$TRACEKIT_CHROMIUM" ]; then
  if command -v apt-get >/dev/null && { [ -z "$root" ] || $root true 2>/dev/null; }; then
    echo "Chromium is not here: installing it"
    { $root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; } >/dev/null 2>&1 ||
      { $root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium-browser; } >/dev/null 2>&1
  fi
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || echo "No Chromium could be installed: the tests in a browser are skipped"
fi
if [ -z "$TRACEKIT_AXE" ] && [ ! -f .browser/node_modules/axe-core/axe.min.js ]; then
  if command -v npm >/dev/null; then npm install --no-save --silent --prefix .browser axe-core@4 >/dev/null 2>&1; fi
  [ -f .browser/node_modules/axe-core/axe.min.js ] || echo "axe-core could not be installed (it needs npm): what axe checks is skipped"
fi
exit 0
