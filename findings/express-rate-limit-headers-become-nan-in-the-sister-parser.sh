#!/usr/bin/env bash
# Guess: ratelimit-header-parser reads what express-rate-limit writes: one group of people makes both.
# Instead: with standardHeaders 'draft-8' the parser finds the header and gives NaN for limit and remaining and an
# Invalid Date for reset, without an error. The forms of drafts 6 and 7 are read well.
#
# Version: express-rate-limit 8.7.5 on express 5.1.0 writes, ratelimit-header-parser 0.1.0 reads (all npm).
# Source: draft-ietf-httpapi-ratelimit-headers-08, "RateLimit Field": "name";r=4;t=60 in place of draft 7's
# limit=5, remaining=4, reset=60; express-rate-limit issue 484 added it. The draft says that a field which a client
# can't read must be ignored. The parser's README names draft 7 as the newest form.
# Means: `remaining > 0` is false for ever, `remaining === 0` is never true, and a timer with NaN fires at once. The
# client stops for good or hammers the server. Check with Number.isFinite, and go by Retry-After when there is one.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

npm install --silent --no-audit --no-fund express@5.1.0 express-rate-limit@8.7.5 \
  ratelimit-header-parser@0.1.0 >/dev/null
cat >ask.js <<'JS'
const express = require('express');
const { rateLimit } = require('express-rate-limit');
const { parseRateLimit } = require('ratelimit-header-parser');

(async () => {
  for (const standardHeaders of ['draft-6', 'draft-7', 'draft-8']) {
    const app = express();
    app.use(rateLimit({ windowMs: 60000, limit: 5, standardHeaders, legacyHeaders: false }));
    app.get('/', (_, response) => response.send('ok'));
    const server = await new Promise((ready) => { const up = app.listen(0, '127.0.0.1', () => ready(up)); });
    const answer = await fetch(`http://127.0.0.1:${server.address().port}/`);
    const { limit, remaining, reset } = parseRateLimit(answer);
    const header = answer.headers.get('ratelimit')
      || 'ratelimit-remaining: ' + answer.headers.get('ratelimit-remaining');
    const date = Number.isNaN(reset.getTime()) ? 'Invalid Date' : 'a date';
    console.log(`${standardHeaders}: ${header} -> limit ${limit}, remaining ${remaining}, reset ${date}`);
    server.closeAllConnections();
    server.close();
  }
})();
JS
seen=$(node ask.js)
expected='draft-6: ratelimit-remaining: 4 -> limit 5, remaining 4, reset a date
draft-7: limit=5, remaining=4, reset=60 -> limit 5, remaining 4, reset a date
draft-8: "5-in-1min"; r=4; t=60 -> limit NaN, remaining NaN, reset Invalid Date'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: ratelimit-header-parser gives NaN for the newest headers of express-rate-limit'
