"""Texts of the service itself to phones: who writes, how to stop it, and the answer to a command."""

from __future__ import annotations

from typing import Final, Literal

from duologue.providers.sms.templates import language_of

ServiceText = Literal["hint", "stopped", "started", "help", "unknown", "code"]

# Only letters of the GSM alphabet where the language allows it: see `templates`.
TEXTS: Final[dict[str, dict[ServiceText, str]]] = {
    "ar": {
        "hint": "للإيقاف أرسل STOP",
        "stopped": "{app}: لن تصلك رسائل أخرى. للعودة أرسل START.",
        "started": "{app}: ستصلك الرسائل من جديد. للإيقاف أرسل STOP.",
        "help": "{app}: رسائل من أشخاص يكتبون إليك. أجب للرد. للإيقاف أرسل STOP.",
        "unknown": "{app}: لم تصل رسالتك إلى أحد. أجب فقط على رسالة وصلتك من هذا الرقم.",
        "code": "{app}: لا ترسل الرمز إلى أي شخص. لم يعد هذا الرمز صالحا؛ اطلب رمزا جديدا عند الحاجة.",
    },
    "de": {
        "hint": "Abbestellen: STOP",
        "stopped": "{app}: Sie erhalten keine SMS mehr. Mit START geht es weiter.",
        "started": "{app}: Sie erhalten wieder SMS. Abbestellen: STOP.",
        "help": "{app}: SMS von Personen, die Ihnen schreiben. Antworten Sie einfach. Abbestellen: STOP.",
        "unknown": "{app}: Ihre SMS hat niemanden erreicht. Antworten Sie auf eine SMS, die Sie von hier erhielten.",
        "code": "{app}: Geben Sie Codes niemals weiter. Dieser gilt nicht mehr; bei Bedarf einen neuen anfordern.",
    },
    "en": {
        "hint": "Reply STOP for no more texts",
        "stopped": "{app}: you will get no more texts. Reply START to get them again.",
        "started": "{app}: you will get texts again. Reply STOP for no more.",
        "help": "{app}: texts from people who write to you. Just reply to answer them. Reply STOP for no more texts.",
        "unknown": "{app}: your text reached nobody. Reply to a text that you got from this number.",
        "code": "{app}: never send a code to anybody. This code is void now; ask for a new one if you need it.",
    },
    "es": {
        "hint": "Para no recibir SMS: STOP",
        "stopped": "{app}: ya no recibe SMS. Responda START para recibirlos de nuevo.",
        "started": "{app}: recibe SMS de nuevo. Para no recibir SMS: STOP.",
        "help": "{app}: SMS de personas que le escriben. Responda al SMS. Para no recibir SMS: STOP.",
        "unknown": "{app}: nadie recibe este SMS. Responda a un SMS que le vino de este remitente.",
        "code": "{app}: nunca mande una clave a nadie. Esta clave ya no vale; pida otra si la necesita.",
    },
    "fr": {
        "hint": "STOP pour ne plus en recevoir",
        "stopped": "{app} : vous ne recevrez plus de SMS. Envoyez START pour en recevoir de nouveau.",
        "started": "{app} : vous recevrez de nouveau les SMS. STOP pour ne plus en recevoir.",
        "help": "{app} : SMS de personnes qui vous écrivent ; répondez-leur ici. STOP pour ne plus en recevoir.",
        "unknown": "{app} : votre SMS n'a atteint personne. Répondez à un SMS venu de ce numéro.",
        "code": "{app} : n'envoyez jamais de code à personne. Il est annulé ; demandez-en un autre si besoin.",
    },
    "it": {
        "hint": "STOP per non riceverne altri",
        "stopped": "{app}: non riceverà altri SMS. Risponda START per riceverli di nuovo.",
        "started": "{app}: riceverà di nuovo gli SMS. STOP per non riceverne altri.",
        "help": "{app}: SMS di persone che le scrivono. Basta rispondere. STOP per non riceverne altri.",
        "unknown": "{app}: il suo SMS non ha raggiunto nessuno. Risponda a un SMS arrivato da questo numero.",
        "code": "{app}: non invii mai un codice a nessuno. Questo codice non vale più; ne chieda un altro se serve.",
    },
    "nl": {
        "hint": "Geen sms meer: STOP",
        "stopped": "{app}: u krijgt geen sms meer. Antwoord START om ze weer te krijgen.",
        "started": "{app}: u krijgt weer sms. Geen sms meer: STOP.",
        "help": "{app}: sms van mensen die u schrijven. Antwoord gewoon. Geen sms meer: STOP.",
        "unknown": "{app}: uw sms heeft niemand bereikt. Antwoord op een sms die u van dit nummer kreeg.",
        "code": "{app}: stuur nooit een code naar iemand. Deze code is nu ongeldig; vraag zo nodig een nieuwe aan.",
    },
    "pl": {
        "hint": "Koniec SMS: STOP",
        "stopped": "{app}: nie dostaniesz kolejnych SMS. Wznowienie: START.",
        "started": "{app}: SMS zostaly wznowione. Koniec SMS: STOP.",
        "help": "{app}: SMS od osob, ktore do Ciebie pisza. Po prostu odpowiedz. Koniec SMS: STOP.",
        "unknown": "{app}: tego SMS nikt nie dostal. Odpowiedz na SMS z tego numeru.",
        "code": "{app}: nigdy nikomu nie wysylaj kodu. Ten kod jest juz niewazny; w razie potrzeby popros o nowy.",
    },
    "pt": {
        "hint": "Para parar responda STOP",
        "stopped": "{app}: fim dos SMS. Responda START para voltar a receber.",
        "started": "{app}: vai receber SMS de novo. Para parar responda STOP.",
        "help": "{app}: SMS de pessoas que lhe escrevem. Basta responder. Para parar responda STOP.",
        "unknown": "{app}: o seu SMS ficou sem destino. Responda a um SMS que veio deste remetente.",
        "code": "{app}: nunca mande uma senha a outra pessoa. Esta senha foi anulada; se precisar, obtenha outra.",
    },
    "tr": {
        "hint": "Durdurmak icin STOP",
        "stopped": "{app}: artik SMS almayacaksiniz. Yeniden almak icin START yazin.",
        "started": "{app}: yeniden SMS alacaksiniz. Durdurmak icin STOP yazin.",
        "help": "{app}: size yazan kisilerden SMS. Yanit verin, yeter. Durdurmak icin STOP yazin.",
        "unknown": "{app}: SMS'iniz kimseye ulasmadi. Bu numaradan gelen bir SMS'e yanit verin.",
        "code": "{app}: kodu asla kimseye gondermeyin. Bu kod artik gecersiz; gerekirse yenisini isteyin.",
    },
}


def service_text(kind: ServiceText, to: str, app: str, language: str | None = None) -> str:
    """Return the text for the phone `to` (E.164), in `language` or in that of its country."""
    return TEXTS[language_of(to, language)][kind].format(app=app)
