"""Settings for unit tests: a project that nothing listens for."""

from typing import Any

from shared.config import Settings, load_settings

URL = "http://project.test"
SECRET_KEY = "sb_secret_unit"
PUBLISHABLE_KEY = "sb_publishable_unit"
JWT_SECRET = "unit-test-secret-of-more-than-32-bytes"
ENVIRONMENT = {
    "SUPABASE_URL": URL,
    "SUPABASE_PUBLISHABLE_KEY": PUBLISHABLE_KEY,
    "SUPABASE_SECRET_KEY": SECRET_KEY,
}


def unit_settings(**overrides: Any) -> Settings:
    """Return settings that come from nowhere but here."""
    values = {
        "supabase_url": URL,
        "SUPABASE_PUBLISHABLE_KEY": PUBLISHABLE_KEY,
        "SUPABASE_SECRET_KEY": SECRET_KEY,
        "supabase_jwt_secret": JWT_SECRET,
        "jwt_issuer": f"{URL}/auth/v1",
    }
    return load_settings(_env_file=None, **{**values, **overrides})
