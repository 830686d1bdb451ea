"""One setting chooses how SMS are sent; a mistake in it gets a sentence that says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from duologue.providers.sms.apprise import AppriseService
from duologue.providers.sms.failover import FailoverProvider
from duologue.providers.sms.gateway import Gateway
from duologue.providers.sms.provider import BadProviderUrl, Provider
from duologue.providers.sms.registry import open_provider
from duologue.providers.sms.simulator import Simulator
from duologue.providers.sms.smpp import Smpp
from duologue.providers.sms.twilio import Twilio

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

# The type checker proves that each fulfils the Protocol.
PROVIDERS: tuple[type[Provider], ...] = (Simulator, Twilio, Smpp, Gateway, AppriseService, FailoverProvider)

SID = "AC" + "0" * 32
SECRET = "hunter2-secret"


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("simulator://", Simulator, "simulator"),
        ("simulator://?from=%2B15550001111&seed=7", Simulator, "simulator"),
        (f"twilio://{SID}:{SECRET}@/?from=+15005550006", Twilio, "twilio"),
        (f"twilio://{SID}:{SECRET}@/?from=MG123&timeout=5", Twilio, "twilio"),
        ("smpp://user:pass@smsc.example:2775?from=12345", Smpp, "smpp"),
        ("smpps://user:pass@[::1]", Smpp, "smpp"),
        ("gateway+https://user:pass@host/?preset=kannel", Gateway, "gateway"),
        ("gateway+http://host:8080/x/y?preset=android&secret=s", Gateway, "gateway"),
    ],
)
def test_each_kind_opens_under_its_name(url: str, kind: type, name: str) -> None:
    provider = open_provider(url)
    assert isinstance(provider, kind)
    assert provider.name == name


def test_a_plus_in_the_sender_is_a_plus() -> None:
    provider = open_provider(f"twilio://{SID}:{SECRET}@/?from=+15005550006")
    assert isinstance(provider, Twilio)
    assert provider.sender == "+15005550006"


@pytest.mark.parametrize("separator", [" ", ",", ", ", "\n", " , "])
def test_several_are_a_chain_with_names_of_their_own(separator: str) -> None:
    urls = ["gateway+https://a:b@one,two/?preset=kannel", "simulator://", "gateway+https://c/?preset=android"]
    provider = open_provider(separator.join(urls))
    assert isinstance(provider, FailoverProvider)
    assert [member.name for member in provider.members] == ["gateway", "simulator", "gateway-2"]


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("", "give simulator://"),
        ("+15005550006", "as a URL"),
        ("carrier-pigeon://coop", "is not an SMS provider"),
        ("gateway://host?preset=kannel", "is not an SMS provider"),
        (f"twilio://{SID}@/?from=+1", "needs a user and a password"),
        (f"twilio://me:{SECRET}@/?from=+1", "SID"),
        (f"twilio://{SID}:{SECRET}@/", "add ?from="),
        (f"twilio://{SID}:{SECRET}@/?form=+1", "no option 'form'; it knows api, from, timeout"),
        (f"twilio://{SID}:{SECRET}@api.twilio.com/?from=+1", "takes no host"),
        (f"twilio://{SID}:{SECRET}@/?from=+1&timeout=soon", "must be a number from 0.1 to 60"),
        (f"smpp://user:{SECRET}/more@host", "percent-encode"),
        (f"smpp://user:{SECRET}@host", "at most 8"),
        ("smpp://user:pass@", "needs a host"),
        ("smpp://user:pass@host?window=0", "from 1 to 1000"),
        ("smpp://user:pass@host?alphabet=utf8", "alphabet=gsm or alphabet=latin1"),
        (f"gateway+https://u:{SECRET}#x@host?preset=kannel", "percent-encode"),
        (f"gateway+https://u:{SECRET}@host", "?preset= (kannel, android-local, android-cloud"),
        (f"gateway+https://u:{SECRET}@host?preset=knnel", "?preset= (kannel, android-local, android-cloud"),
        ("gateway+https://host?preset=kannel&spec=x.toml", "either"),
        ("gateway+https://host?spec=/nowhere.toml", "cannot use the file"),
        ("gateway+ftp://host?preset=kannel", "needs a host"),
        ("gateway+https://host?preset=android&region=Texas", "must be a country"),
        (f"apprise+json://user:{SECRET}@host/", "needs {to}"),
        (f"apprise+nosuch://{SECRET}/{{to}}", "not a URL that Apprise can use"),
        ("smpp://user:pass@host?from=%C3%89cole", "option 'from'"),
        ("simulator://?seed=x", "must be a number"),
    ],
)
def test_a_mistake_gets_a_sentence_that_helps_and_keeps_the_secret(url: str, advice: str) -> None:
    with pytest.raises(BadProviderUrl) as refused:
        open_provider(url)
    sentence = str(refused.value)
    assert advice in sentence
    assert sentence.endswith((".", "+15005550006"))
    assert SECRET not in sentence
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "missing", "extra"),
    [
        (f"twilio://{SID}:x@/?from=+1", "twilio", "duologue[twilio]"),
        ("smpp://user:pass@host", "smpplib", "duologue[smpp]"),
        ("apprise+json://host/{to}", "apprise", "duologue[apprise]"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    url: str, missing: str, extra: str, tmp_path: Path
) -> None:
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == {missing!r}:\n"
        "            raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from duologue.providers.sms.registry import open_provider\n"
        f"open_provider({url!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode != 0
    assert extra in done.stderr.splitlines()[-1]
    assert "BadProviderUrl" in done.stderr
