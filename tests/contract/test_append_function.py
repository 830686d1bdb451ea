"""The batch function of the database takes and answers what the tables of its parameters say, by the same names."""

from __future__ import annotations

import psycopg

from duologue.storage.engine.engines import migrate
from duologue.storage.engine.postgres_append import PARAMETERS, RESULTS

SIGNATURE = "SELECT pg_get_function_arguments('duologue_append'::regproc)"


def test_the_function_has_the_signature_of_the_table(postgres_url: str) -> None:
    migrate(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute(SIGNATURE).fetchone()
    taken = [f"{each.name} {each.type}" for each in PARAMETERS]
    answered = [f"OUT {name} integer[]" for name in RESULTS]
    assert row == (", ".join(taken + answered),)


def test_each_parameter_has_a_name_of_its_own() -> None:
    names = [each.name for each in PARAMETERS]
    assert len(names) == len({*names, *RESULTS}) - len(RESULTS)
