"""The fresh part of the turns of `benchmarks/turn_end.py`: texts that nothing was tuned by.

They were written before the policy was changed for the last time, and are read when a change is finished, not to make
one. Half of them are spoken by a voice that is in no other part (hibari's).
"""

from __future__ import annotations

from benchmarks.hearing_callers import Voice

__all__ = ["FRESH_HUMAN", "FRESH_SENTENCES", "FRESH_VOICES"]

OPEN = "Thanks for calling. What can I do for you?"
RIGHT = "So that is two nights from the ninth of May. Is that correct?"
ELSE = "Is there anything else I can help you with?"
PHONE = "What number can we reach you at?"
CODE = "Could you read me the six digits of your code, please?"
FOUR = "Please give me the last four digits of your social security number."
ADDRESS = "What is the delivery address?"
MANY = "How many tickets would you like?"
WHEN = "When would suit you?"
WHO = "Who am I speaking to?"

FRESH_SENTENCES: tuple[tuple[str, str], ...] = (
    (OPEN, "My parcel should have been here yesterday | but nobody came."),
    (OPEN, "I would like to know whether | you repair old cameras."),
    (OPEN, "There is a leak in my kitchen. | The water is running everywhere."),
    (OPEN, "Can I move my dentist appointment from Monday | to Thursday?"),
    (OPEN, "I think | I paid this bill twice."),
    (OPEN, "I am calling for my mother, | she has lost her glasses in your shop."),
    (OPEN, "I need a taxi to the airport."),
    (OPEN, "Do you sell gift cards?"),
    (OPEN, "The heating has been off since | last night and we have a small baby."),
    (OPEN, "Uh | I forgot my password."),
    (OPEN, "We want to rent a car for the weekend, | a small one if possible."),
    (OPEN, "My daughter has a fever | and a rash on her arms. | Can we come today?"),
    (RIGHT, "Yes."),
    (RIGHT, "Yes, thank you."),
    (RIGHT, "No, | three nights."),
    (RIGHT, "That's right."),
    (RIGHT, "Yes, and | we need a cot."),
    (RIGHT, "No, it isn't."),
    (ELSE, "No, thanks."),
    (ELSE, "Yes. | What time is breakfast?"),
    (ELSE, "No, that's all."),
    (PHONE, "Five five five | two one nine | eight seven three six."),
    (PHONE, "It's three one zero | four four seven | zero zero one eight."),
    (PHONE, "You can call me at nine one seven | two six two | five three eight one."),
    (CODE, "Three three nine | zero seven five."),
    (CODE, "It is eight one | four six | two two."),
    (CODE, "Nine zero five one one seven."),
    (FOUR, "Two seven | four one."),
    (FOUR, "Eight zero five three."),
    (FOUR, "One six | nine eight."),
    (ADDRESS, "Eighty one Mill Lane, | Cambridge."),
    (ADDRESS, "Apartment five, | three hundred Lake Street, | Chicago."),
    (ADDRESS, "Seventeen Church Road in | Leeds."),
    (MANY, "Three."),
    (MANY, "Two, | no, three please."),
    (MANY, "We are seven."),
    (WHEN, "Some time | next week would be best."),
    (WHEN, "Tuesday morning."),
    (WHEN, "On the third of | July, in the afternoon."),
    (WHO, "This is | Margaret Hill."),
    (WHO, "My name is David Stone."),
    (WHO, "Susan Brown | from the flower shop."),
)

FRESH_HUMAN: tuple[tuple[str, str], ...] = (
    (PHONE, "digits/7 digits/1 digits/8 | digits/2 digits/0 digits/6 | digits/5 digits/5 digits/3 digits/4"),
    (PHONE, "digits/9 digits/7 digits/0 | digits/3 digits/1 | digits/6 digits/2 digits/8 digits/8 digits/0"),
    (CODE, "digits/0 digits/3 digits/7 | digits/6 digits/6 digits/1"),
    (CODE, "digits/2 digits/9 | digits/4 digits/8 | digits/1 digits/5"),
    (CODE, "digits/8 digits/8 digits/0 digits/7 digits/3 digits/2"),
    (CODE, "digits/4 | digits/1 digits/6 digits/9 digits/0 digits/5"),
    (FOUR, "digits/5 digits/8 | digits/0 digits/6"),
    (FOUR, "digits/2 digits/4 digits/7 digits/1"),
    (FOUR, "digits/8 | digits/3 digits/1 digits/7"),
    (MANY, "digits/5"),
    (MANY, "digits/11"),
    (WHEN, "digits/day-3 | digits/at digits/10 digits/a-m"),
    (WHEN, "digits/mon-6 | digits/h-4"),
    (WHEN, "digits/day-4 digits/at | digits/7 digits/oclock"),
)

FRESH_VOICES = (
    Voice("hibari", "heart"),
    Voice("flite", "rms"),
    Voice("hibari", "heart", 1.15),
    Voice("flite", "slt"),
)
