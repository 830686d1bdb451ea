#!/usr/bin/env bash
# Guess: DeliveryReceiptState.valueOf(2) in jsmpp is the state that SMPP numbers 2, DELIVERED.
# Instead: it is EXPIRED. That enum counts from 0 without SCHEDULED, so each state is one below SMPP's message_state.
# 1 (en route) is DELIVRD, 4 (deleted) is UNDELIV, 6 (accepted) is UNKNOWN, and 8 (rejected) is an exception.
#
# Version: org.jsmpp:jsmpp 3.0.1 (Maven) reads; smpp 0.5.1 (npm) gives the numbers that a peer sends.
# Source: SMPP 3.4, section 5.2.28 (message_state: 1 to 8, carried in the parameter 0x0427 of a receipt); jsmpp's
# org/jsmpp/util/DeliveryReceiptState.java. jsmpp has a second enum, MessageState, with SMPP's numbers.
# opentelecoms-org/jsmpp issue 71 quotes the numbers while asking for more states.
# Means: code that turns message_state into the same type as the receipt's text marks delivered texts as expired and
# sends them again, and takes those still on their way for delivered. Convert through MessageState, or by name.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

mvn --quiet --batch-mode -Dstyle.color=never "-Dmaven.repo.local=$work/m2" dependency:copy \
  -Dartifact=org.jsmpp:jsmpp:3.0.1 "-DoutputDirectory=$work" >/dev/null
npm install --silent --no-audit --no-fund smpp@0.5.1 >/dev/null
cat >Read.java <<'JAVA'
import org.jsmpp.bean.MessageState;
import org.jsmpp.util.DeliveryReceiptState;

public class Read {
    public static void main(String[] pairs) {
        for (String pair : pairs) {
            int number = Integer.parseInt(pair.split("=")[1]);
            String receipt;
            try {
                receipt = DeliveryReceiptState.valueOf(number).name();
            } catch (IllegalArgumentException unknown) {
                receipt = "IllegalArgumentException";
            }
            System.out.println(pair + " MessageState " + MessageState.valueOf((byte) number)
                + ", DeliveryReceiptState " + receipt);
        }
    }
}
JAVA
cat >states.js <<'JS'
const states = require('smpp').consts.MESSAGE_STATE;
console.log(Object.keys(states).filter((name) => states[name] > 0 && states[name] < 9)
  .map((name) => name + '=' + states[name]).join(' '));
JS
# shellcheck disable=SC2046 # one argument for each state
seen=$(java -cp jsmpp-3.0.1.jar Read.java $(node states.js))
expected='ENROUTE=1 MessageState ENROUTE, DeliveryReceiptState DELIVRD
DELIVERED=2 MessageState DELIVERED, DeliveryReceiptState EXPIRED
EXPIRED=3 MessageState EXPIRED, DeliveryReceiptState DELETED
DELETED=4 MessageState DELETED, DeliveryReceiptState UNDELIV
UNDELIVERABLE=5 MessageState UNDELIVERABLE, DeliveryReceiptState ACCEPTD
ACCEPTED=6 MessageState ACCEPTED, DeliveryReceiptState UNKNOWN
UNKNOWN=7 MessageState UNKNOWN, DeliveryReceiptState REJECTD
REJECTED=8 MessageState REJECTED, DeliveryReceiptState IllegalArgumentException'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: the numbers of DeliveryReceiptState in jsmpp are one below those of message_state'
