"""What `supabase status -o env` prints, turned into the functions' settings."""

import pytest

from local.errors import LocalStackError
from local.serve import project_environment

STATUS = """\
ANON_KEY="eyJhbGciOi"
API_URL="http://127.0.0.1:54321"
DB_URL="postgresql://postgres:postgres@127.0.0.1:54322/postgres"
JWT_SECRET="a-secret-of-at-least-thirty-two-bytes"
PUBLISHABLE_KEY="sb_publishable_x"
SECRET_KEY="sb_secret_x"
"""


def test_the_clis_names_become_ours() -> None:
    """Only what the functions need, without the quotes."""
    assert project_environment(STATUS) == {
        "SUPABASE_URL": "http://127.0.0.1:54321",
        "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
        "SUPABASE_SECRET_KEY": "sb_secret_x",
        "SUPABASE_JWT_SECRET": "a-secret-of-at-least-thirty-two-bytes",
    }


def test_what_is_missing_is_one_line() -> None:
    """Of a stack that isn't running nothing is printed."""
    with pytest.raises(LocalStackError, match="API_URL, PUBLISHABLE_KEY, SECRET_KEY"):
        project_environment('JWT_SECRET="x"')
