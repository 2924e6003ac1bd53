"""Says what num2words and CLDR get wrong in French, Spanish, Italian, Portuguese and Dutch.

These languages have no rules for addresses, codes and signs: such things stay for the TTS, as in all languages but
English and German. Times, dates, ranges, the gender of one and two, and a few abbreviations are said here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from piopiy_pipeline.spoken_text.rule import word_set
from piopiy_pipeline.spoken_text.verbalizer import Amount, Verbalizer

__all__ = [
    "DutchVerbalizer",
    "FrenchVerbalizer",
    "ItalianVerbalizer",
    "PortugueseVerbalizer",
    "SpanishVerbalizer",
]


class _OtherLanguage(Verbalizer):
    """What the five have in common."""

    spoken: ClassVar[Mapping[str, str]] = {}
    """Words between and before numbers, as in `Verbalizer.vocabulary`, which would turn on the rules for all signs."""
    of: ClassVar[str] = ""
    """What stands between the day, the month and the year."""
    first: ClassVar[str] = ""
    """The first of a month."""
    feminine: ClassVar[frozenset[str]] = frozenset()
    """What is counted and feminine: the nouns of units of CLDR, and those of every day."""
    masculine: ClassVar[frozenset[str]] = frozenset()
    """The others of every day. Beside any other word a number stays as it is: "habitación uno está"."""
    one_before: ClassVar[tuple[str, str]] = ("", "")
    """One, before a masculine noun and before a feminine one."""
    feminine_ends: ClassVar[Mapping[str, str]] = {}
    """How the words of a number end, and how before a feminine noun."""

    def __init__(self, locale: str) -> None:
        super().__init__(locale)
        self.words.update(self.spoken)

    def date(
        self, day: int, month: int, year: int | None, *, before: str = "", day_first: bool = True
    ) -> str:
        """Return a date: "doce de julio de dos mil veintiséis"."""
        said = self.first if day == 1 and self.first else self.cardinal(day)
        parts = [said, self.month(month), *([self.year(year)] if year is not None else [])]
        return (f" {self.of} " if self.of else " ").join(parts)

    def amount(self, amount: Amount, unit: str = "") -> str:
        """Return a number in the gender of its unit."""
        said = super().amount(amount)
        if not unit or amount.fraction is not None:
            return said
        noun = (
            self.currency(unit, one=False)
            if unit.isupper()
            else self._unit_pattern(unit, "5").split("{0}")[-1]
        )
        first = re.match(r"\W*([^\W\d_]+)", noun)
        return self._agreed(said, first[1] if first else "")

    def counted(self, amount: Amount, after: str) -> str:
        """Return a number in the gender of the noun behind it."""
        noun = re.match(r"[\s\u00a0]([^\W\d_]+)", after)
        said = self.amount(amount)
        if amount.fraction is not None or noun is None:
            return said
        known = noun[1].lower() in self.feminine or noun[1].lower() in self.masculine
        return self._agreed(said, noun[1]) if known else said

    def _agreed(self, said: str, noun: str) -> str:
        is_feminine = noun.lower() in self.feminine
        one, minus = self.cardinal(1), self.words["minus"]
        if said in (one, f"{minus} {one}") and self.one_before[0]:
            return said.removesuffix(one) + self.one_before[is_feminine]
        for end, feminine in self.feminine_ends.items() if is_feminine else ():
            said = re.sub(rf"{end}\b(?= |$)", feminine, said)
        return said

    def clock(self, hour: int) -> str:
        """Return the number of an hour, which is feminine in the Romance languages."""
        said = self.cardinal(hour)
        if hour == 1 and self.one_before[1]:
            return self.one_before[1]
        for end, feminine in self.feminine_ends.items():
            said = re.sub(rf"{end}$", feminine, said)
        return said

    def time(self, hour: int, minute: int, half: str = "", second: int | None = None) -> str | None:
        """Return a time of the day, on the clock of 24 hours."""
        if half or second is not None or hour > 24 or minute > 59:
            return None
        return self._clock_time(self.clock(hour), hour, self.cardinal(minute) if minute else "")

    def _clock_time(self, said: str, hour: int, minutes: str) -> str:
        return f"{said} {self.words['and']} {minutes}" if minutes else said


class FrenchVerbalizer(_OtherLanguage):
    """French."""

    spoken: ClassVar[Mapping[str, str]] = {"minus": "moins", "plus": "plus", "to": "à", "and": "et"}
    first = "premier"
    oclock = r"heures?|h"
    one_before = ("un", "une")
    feminine_ends: ClassVar[Mapping[str, str]] = {"un": "une"}
    feminine = word_set(
        "heure heures personne personnes nuit nuits table tables semaine semaines minute minutes seconde "
        "secondes année "
        "années fois chambre chambres place places livre livres once onces tonne tonnes calorie calories "
        "kilocalorie kilocalories roupie roupies couronne couronnes"
    )
    masculine = word_set("euro euros jour jours mois an ans adulte adultes enfant enfants")
    abbreviations: ClassVar[Mapping[str, str]] = {
        "M.": "Monsieur", "MM.": "Messieurs", "Mme": "Madame", "Mmes": "Mesdames", "Mlle": "Mademoiselle",
        "n°": "numéro", "N°": "numéro", "nº": "numéro", "env.": "environ", "etc.": "et cetera", "p. ex.": "par exemple",
        "c.-à-d.": "c'est-à-dire", "tél.": "téléphone", "Tél.": "Téléphone",
        "24h/24": "vingt-quatre heures sur vingt-quatre",
        "24 h/24": "vingt-quatre heures sur vingt-quatre", "7j/7": "sept jours sur sept",
        "7 j/7": "sept jours sur sept",
    }  # fmt: skip

    def _clock_time(self, said: str, hour: int, minutes: str) -> str:
        return " ".join((said, "heure" if hour < 2 else "heures", *([minutes] if minutes else [])))


class SpanishVerbalizer(_OtherLanguage):
    """Spanish."""

    spoken: ClassVar[Mapping[str, str]] = {"minus": "menos", "plus": "más", "to": "a", "and": "y"}
    of = "de"
    oclock = r"horas?|h"
    one_before = ("un", "una")
    feminine_ends: ClassVar[Mapping[str, str]] = {"uno": "una", "ientos": "ientas"}
    feminine = word_set(
        "hora horas persona personas noche noches mesa mesas semana semanas habitación habitaciones vez veces "
        "copa copas "
        "entrada entradas libra libras onza onzas milla millas yarda yardas pulgada pulgadas tonelada toneladas "
        "caloría calorías kilocaloría kilocalorías rupia rupias corona coronas hectárea hectáreas"
    )
    masculine = word_set(
        "euro euros minuto minutos segundo segundos día días mes meses año años adulto adultos niño niños"
    )
    abbreviations: ClassVar[Mapping[str, str]] = {
        "Sr.": "señor", "Sra.": "señora", "Srta.": "señorita", "Dr.": "doctor", "Dra.": "doctora", "Ud.": "usted",
        "Uds.": "ustedes", "n.º": "número", "N.º": "número", "nº": "número", "Nº": "número",
        "aprox.": "aproximadamente",
        "etc.": "etcétera", "p. ej.": "por ejemplo", "tel.": "teléfono", "Tel.": "Teléfono", "máx.": "máximo",
        "mín.": "mínimo", "EE. UU.": "Estados Unidos", "24/7": "las veinticuatro horas, los siete días",
    }  # fmt: skip

    def _agreed(self, said: str, noun: str) -> str:
        said = super()._agreed(said, noun)
        if said.endswith("veintiuno"):
            return said.removesuffix("veintiuno") + "veintiún"
        return said.removesuffix("o") if said.endswith(" y uno") else said


class ItalianVerbalizer(_OtherLanguage):
    """Italian."""

    spoken: ClassVar[Mapping[str, str]] = {"minus": "meno", "plus": "più", "to": "a", "and": "e"}
    first = "primo"
    one_before = ("un", "una")
    feminine = word_set(
        "ora ore persona persone notte notti settimana settimane volta volte camera camere libbra libbre oncia once "
        "iarda iarde tonnellata tonnellate caloria calorie chilocaloria chilocalorie sterlina sterline rupia "
        "rupie corona "
        "corone"
    )
    masculine = word_set("euro minuto minuti secondo secondi giorno giorni mese mesi anno anni posto posti")
    abbreviations: ClassVar[Mapping[str, str]] = {
        "Sig.": "signor", "Sig.ra": "signora", "Sig.na": "signorina", "Dott.": "dottor", "Dott.ssa": "dottoressa",
        "Ing.": "ingegner", "Avv.": "avvocato", "ca.": "circa", "ecc.": "eccetera", "ad es.": "ad esempio",
        "tel.": "telefono", "Tel.": "Telefono", "n.": "numero", "24/7": "ventiquattro ore su ventiquattro",
    }  # fmt: skip

    def unit(self, amount: Amount, unit: str, *, number: str | None = None) -> str:
        """Return an amount of a unit."""
        return super().unit(amount, unit, number=number).replace("una ora", "un'ora")

    def clock(self, hour: int) -> str:
        """Return the number of an hour: only "una" is feminine."""
        return "una" if hour == 1 else self.cardinal(hour)


class PortugueseVerbalizer(_OtherLanguage):
    """Portuguese, of Portugal and of Brazil."""

    spoken: ClassVar[Mapping[str, str]] = {"minus": "menos", "plus": "mais", "to": "a", "and": "e"}
    of = "de"
    first = "primeiro"
    oclock = r"horas?|h"
    one_before = ("um", "uma")
    feminine_ends: ClassVar[Mapping[str, str]] = {"dois": "duas", "um": "uma", "entos": "entas"}
    feminine = word_set(
        "hora horas pessoa pessoas noite noites mesa mesas semana semanas vez vezes entrada entradas criança crianças "
        "libra libras onça onças milha milhas jarda jardas polegada polegadas tonelada toneladas caloria calorias "
        "quilocaloria quilocalorias rupia rupias coroa coroas"
    )
    masculine = word_set(
        "euro euros real reais minuto minutos segundo segundos dia dias mês meses ano anos adulto adultos"
    )
    abbreviations: ClassVar[Mapping[str, str]] = {
        "Sr.": "senhor", "Sra.": "senhora", "Dr.": "doutor", "Dra.": "doutora", "nº": "número", "n.º": "número",
        "aprox.": "aproximadamente", "etc.": "et cetera", "p. ex.": "por exemplo", "tel.": "telefone",
        "Tel.": "Telefone",
        "Av.": "Avenida", "máx.": "máximo", "mín.": "mínimo", "24/7": "vinte e quatro horas por dia",
    }  # fmt: skip

    def currency(self, code: str, *, one: bool) -> str:
        """Return the name of a currency as people say it."""
        names = {"BRL": ("real", "reais"), "EUR": ("euro", "euros")}
        return names[code][not one] if code in names else super().currency(code, one=one)

    def _clock_time(self, said: str, hour: int, minutes: str) -> str:
        if minutes:
            return f"{said} e {minutes}"
        return f"{said} {'hora' if hour < 2 else 'horas'}"


class DutchVerbalizer(_OtherLanguage):
    """Dutch."""

    spoken: ClassVar[Mapping[str, str]] = {"minus": "min", "plus": "plus", "to": "tot", "and": "en"}
    oclock = r"uur"
    abbreviations: ClassVar[Mapping[str, str]] = {
        "dhr.": "de heer", "mevr.": "mevrouw", "mw.": "mevrouw", "dr.": "dokter", "drs.": "doctorandus",
        "nr.": "nummer",
        "Nr.": "Nummer", "ca.": "circa", "enz.": "enzovoort", "bijv.": "bijvoorbeeld", "d.w.z.": "dat wil zeggen",
        "o.a.": "onder andere", "t/m": "tot en met", "tel.": "telefoon", "Tel.": "Telefoon", "incl.": "inclusief",
        "excl.": "exclusief", "i.p.v.": "in plaats van", "a.u.b.": "alstublieft", "s.v.p.": "alstublieft",
        "24/7": "dag en nacht",
    }  # fmt: skip

    def year(self, number: int) -> str:
        """Return the number of a year: "negentienhonderdachtennegentig"."""
        if 1100 <= number <= 1999:
            hundreds, rest = divmod(number, 100)
            return f"{self.cardinal(hundreds)}honderd{self.cardinal(rest) if rest else ''}"
        return self.cardinal(number)

    def _clock_time(self, said: str, hour: int, minutes: str) -> str:
        return f"{said} uur {minutes}".rstrip()
