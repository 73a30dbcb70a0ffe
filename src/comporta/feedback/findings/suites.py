"""A finding's failing cases as a file of tests, which `comporta prompts test` reads."""

from __future__ import annotations

import yaml

from comporta.errors import NotFound
from comporta.feedback.findings.tables import rows
from comporta.store.database import Database

_CASES = """
select call_id::text, input, variables, expected, reason, prompt_id from dataset_example
where finding_id = %(id)s order by (prompt_id is null), call_id
"""


async def suite_of(database: Database, id: str) -> str:
    """YAML: one case for each example, with its correction as what is expected, else what is left to write.

    Raises NotFound where nothing was gathered for that finding.
    """
    async with database.reading() as connection:
        found = await rows(connection, _CASES, {"id": id})
    if not found:
        text = f"No examples were gathered for finding '{id[:100]}': `update_prompt` and `add_to_dataset` do that."
        raise NotFound(text, code="finding_without_tests")
    cases = {}
    for row in found:
        case = {"id": f"call-{row['call_id'][-12:]}", "input": row["input"]["text"], "tags": ["finding"]}
        if isinstance(row["variables"], dict) and all(isinstance(v, str) for v in row["variables"].values()):
            case = {"id": case["id"], "variables": row["variables"], "tags": case["tags"]}
        if row["expected"]:
            case["reference"] = row["expected"]
        # Answers are at least to be there; what else they must hold, whoever mends the prompt knows.
        case["assert"] = [{"min_words": 1}]
        cases[case["id"]] = case
    head = f"# Failing cases of {id}: {found[0]['reason']}\n# Say in `assert` what the answers should have been.\n"
    suite = {"cases": list(cases.values())}
    prompt = found[0]["prompt_id"]
    return head + yaml.safe_dump({"prompt": prompt, **suite} if prompt else suite, allow_unicode=True, sort_keys=False)
