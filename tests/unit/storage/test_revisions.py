"""The revisions of the stores: their numbers are those of their files, without a gap."""

import importlib.util
from pathlib import Path

import pytest

import risk_service.audit.database as audit
from tradewind.storage import SqlSchema
from trainer_service.jobs import schema as jobs


@pytest.mark.parametrize("schema", [audit.SCHEMA, jobs.SCHEMA], ids=lambda one: one.setting)
def test_revisions_with_their_files_are_numbered_in_a_row(schema: SqlSchema) -> None:
    before = None
    for number in schema.known():
        (path,) = Path(schema.revisions).glob(f"r{number}_*.py")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert (module.revision, module.down_revision) == (number, before)
        before = number
    assert schema.known()[0] == schema.first_revision
