-- A small believable example, for looking at: one person, one project, two conversations.
-- The person has no password, so nobody can sign in as them.

insert into auth.users (id, aud, role, email, created_at, updated_at)
values ('5eed0000-0000-4000-8000-000000000001', 'authenticated', 'authenticated',
        'ada@example.com', now(), now());

with turn as (
    select public.begin_turn(
        user_id => '5eed0000-0000-4000-8000-000000000001',
        idempotency_key => 'seed-1',
        request_hash => 'seed',
        request => 'How do I read a CSV file in Python without pandas?',
        message_id => '5eed0000-0000-4000-8000-00000000000a',
        project_id => '5eed0000-0000-4000-8000-0000000000aa',
        metadata => '{"projectId": "5eed0000-0000-4000-8000-0000000000aa", "timestamp": "2026-11-01T09:00:00+00:00"}'
    ) as answer
)
select public.complete_turn(
    user_id => '5eed0000-0000-4000-8000-000000000001',
    turn_id => (answer -> 'turn' ->> 'id')::uuid,
    attempt => 1,
    message_id => '5eed0000-0000-4000-8000-00000000000b',
    status => 'completed',
    content => E'Use the csv module of the standard library:\n\n```python path=read_rows.py\nimport csv\n\ndef read_rows(path):\n    with open(path, newline="") as source:\n        return list(csv.DictReader(source))\n```\n\nEach row is a dict with the column names as keys.',
    generated_code => E'import csv\n\ndef read_rows(path):\n    with open(path, newline="") as source:\n        return list(csv.DictReader(source))\n',
    metadata => '{"success": true, "filesGenerated": 1, "files": [{"path": "read_rows.py", "language": "python"}], "duration": 1.4, "intent": "create_function", "complexity": "simple", "strategy": "generate_code", "timestamp": "2026-11-01T09:00:01+00:00", "engine": "example"}'
)
from turn;

insert into public.conversations (id, user_id, title)
values ('5eed0000-0000-4000-8000-0000000000c2', '5eed0000-0000-4000-8000-000000000001', 'Notes for the release');

insert into public.messages (conversation_id, user_id, role, content)
values ('5eed0000-0000-4000-8000-0000000000c2', '5eed0000-0000-4000-8000-000000000001', 'user',
        'Remember: the migration goes out on Tuesday, the announcement on Thursday.');
