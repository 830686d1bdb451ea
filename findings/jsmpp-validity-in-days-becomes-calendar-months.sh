#!/usr/bin/env bash
# Guess: a validity period that jsmpp writes as a relative time lasts as long at the peer as the sender asked for.
# Instead: jsmpp counts the days from 1 January 1970 and writes whole months of that year: 31 days are "1 month",
# 60 days "2 months 1 day". The peer adds calendar months to its own date: 28 days in February, 63 in July.
#
# Version: org.jsmpp:jsmpp 3.0.1 (Maven) writes; smpp 0.5.1 (npm) reads.
# Source: SMPP 3.4, section 7.1.1 (relative time YYMMDDhhmmss000R counts from the SMSC's current time); jsmpp's
# org/jsmpp/util/RelativeTimeFormatter.java, format(Calendar, Calendar), whose comment says that it is not exact;
# decode() of filters.time in smpp's lib/defs.js. Up to 30 days both agree.
# Means: a one-month validity expires three days early, or a text arrives after the date that it was meant for. For
# more than 30 days send the absolute form.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

mvn --quiet --batch-mode -Dstyle.color=never "-Dmaven.repo.local=$work/m2" dependency:copy \
  -Dartifact=org.jsmpp:jsmpp:3.0.1 "-DoutputDirectory=$work" >/dev/null
npm install --silent --no-audit --no-fund smpp@0.5.1 >/dev/null
cat >Write.java <<'JAVA'
import java.util.Calendar;
import java.util.TimeZone;
import org.jsmpp.util.RelativeTimeFormatter;

public class Write {
    public static void main(String[] asked) {
        for (String days : asked) {
            Calendar now = Calendar.getInstance(TimeZone.getTimeZone("UTC"));
            Calendar end = (Calendar) now.clone();
            end.setTimeInMillis(now.getTimeInMillis() + Long.parseLong(days) * 86_400_000L);
            System.out.println(days + " " + new RelativeTimeFormatter().format(end, now));
        }
    }
}
JAVA
cat >read.js <<'JS'
const { time } = require('smpp').filters;
const Clock = Date;
const days = (start, relative) => { // the peer's clock stands at `start`
  const now = Clock.parse(start);
  global.Date = class extends Clock { constructor(...given) { super(...(given.length ? given : [now])); } };
  const end = time.decode(relative);
  global.Date = Clock;
  return (end - now) / 86400000;
};
for (const line of require('fs').readFileSync(0, 'utf8').trim().split('\n')) {
  const [asked, relative] = line.split(' ');
  console.log(`${asked} days are written ${relative}: ${days('2026-02-01T00:00:00Z', relative)} days from `
    + `1 February, ${days('2026-07-01T00:00:00Z', relative)} days from 1 July`);
}
JS
seen=$(java -cp jsmpp-3.0.1.jar Write.java 7 30 31 60 | TZ=UTC node read.js)
expected='7 days are written 000007000000000R: 7 days from 1 February, 7 days from 1 July
30 days are written 000030000000000R: 30 days from 1 February, 30 days from 1 July
31 days are written 000100000000000R: 28 days from 1 February, 31 days from 1 July
60 days are written 000201000000000R: 60 days from 1 February, 63 days from 1 July'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: above 30 days the validity that jsmpp writes depends on the month in which it is read'
