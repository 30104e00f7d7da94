"""The encoding of bytes that are no UTF-8 is named, from what its languages write."""

import pytest

from gateway.tasks.tables.encodings import likely

SAID = {
    "de": "Ich habe meine Karte verloren, schön. Wie lade ich auf? Grüße, größer",
    "fr": "J'ai perdu ma carte à l'étranger, comment ça marche? Où, garçon",
    "es": "¿Cómo puedo añadir dinero? Perdí mi tarjeta",
    "pl": "Zgubiłem kartę, co mam zrobić? Żółty, proszę o pomoc, dziękuję",
    "tr": "Kartımı kaybettim, ne yapmalıyım? Güneş ve ağaç",
    "ru": "Я потерял карту. Как пополнить счёт?",
    "el": "Έχασα την κάρτα μου, τι πρέπει να κάνω;",
    "he": "איבדתי את הכרטיס שלי, מה לעשות",
    "ar": "أضعت بطاقتي، ماذا أفعل كيف الحال",
    "th": "ฉันทำบัตรหาย ต้องทำอย่างไร",
    "ko": "카드를 잃어버렸어요. 어떻게 해야 하나요",
    "tw": "我丟了卡片怎麼辦，我要充值，請問什麼時候能到",
}
"""Language -> a text in it."""


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        *(("de", name) for name in ("windows-1252", "cp850", "mac_roman")),
        *(("fr", name) for name in ("windows-1252", "cp850", "mac_roman")),
        *(("es", "windows-1252"), ("pl", "windows-1250"), ("tr", "windows-1254")),
        *(("ru", name) for name in ("windows-1251", "koi8_r", "cp866", "iso8859_5")),
        *(("el", "windows-1253"), ("he", "windows-1255"), ("ar", "windows-1256"), ("th", "cp874")),
        *(("ko", "euc_kr"), ("tw", "big5")),
    ],
)
def test_the_likeliest_encoding_reads_the_text(language: str, encoding: str) -> None:
    data = f"id,text\n1,{SAID[language]}\n".encode(encoding)
    assert data.decode(likely(data)[0]) == data.decode(encoding)


def test_bytes_that_are_no_text_have_no_encoding() -> None:
    assert "shift_jis" not in likely(b"\xff\xff\x81\x81")
