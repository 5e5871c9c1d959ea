"""A conversation that is edited, regenerated and turned over in SQL, and the tree that it is."""

from typing import Any

from tests.support.branch_model import Node, Tree
from tests.support.sql_calls import Caller


class Chat:
    """A conversation of the store's and its model, side by side."""

    def __init__(self, service: Caller, user: Caller, owner: str) -> None:
        self.service, self.user, self.owner = service, user, owner
        self.tree = Tree()
        begun = service.begin(owner, "First")
        self.id = begun["conversation"]["id"]
        question = self.tree.add(begun["user_message"]["id"], "user", None)
        self._reply(begun, question, question)

    def _reply(self, begun: dict[str, Any], parent: Node, answers: Node) -> None:
        done = self.service.complete(begun)
        self.tree.add(done["reply"]["id"], "assistant", parent, answers=answers)

    def say(self) -> None:
        """Ask at the end of the active path."""
        self._ask(self.tree.tip)

    def _ask(self, parent: Node | None, **fork: str) -> None:
        begun = self.service.begin(self.owner, "More", conversation_id=self.id, **fork)
        assert [row["seq"] for row in begun["history"]] == [
            node.seq for node in self.tree.path_to(parent)
        ]
        question = self.tree.add(begun["user_message"]["id"], "user", parent)
        self._reply(begun, question, question)

    def edit(self, node: Node) -> None:
        """Ask something else instead of this message."""
        self._ask(node.parent, edits=node.id)

    def regenerate(self, node: Node) -> None:
        """Have a reply made once more, or a message answered."""
        question = node if node.role == "user" else node.answers
        assert question is not None
        parent = node if node.role == "user" else node.parent
        begun = self.service.begin(self.owner, "", conversation_id=self.id, regenerates=node.id)
        assert begun["user_message"]["id"] == question.id
        assert [row["seq"] for row in begun["history"]] == [
            each.seq for each in self.tree.path_to(question.parent)
        ]
        assert parent is not None
        self._reply(begun, parent, question)

    def write_a_row(self) -> None:
        """Insert a message as a client does, without a turn."""
        row = self.user.connection.execute(
            "insert into messages (conversation_id, role, content)"
            " values (%s, 'user', 'Plain') returning id::text",
            (self.id,),
        ).fetchone()
        assert row is not None
        self.tree.add(row[0], "user", self.tree.tip)

    def turn_to(self, sibling: Node) -> None:
        """Choose the path through a sibling, by the branch that is given with it."""
        shown = self.load(around=sibling.id, page_size=1)["siblings"][sibling.id]["messages"]
        branch = next(each["branch"] for each in shown if each["id"] == sibling.id)
        self.user.call("update_conversation", conversation_id=self.id, active_branch=branch)
        self.tree.tip = self.tree.newest_below(sibling)

    def load(self, **arguments: Any) -> dict[str, Any]:
        """Read a page."""
        return self.user.call("load_conversation", conversation_id=self.id, **arguments)

    def check_pages(self) -> None:
        """Compare the active path with the model's, whole, with its siblings, and in pages."""
        path = [node.id for node in self.tree.path]
        whole = self.load(page_size=200)
        assert [row["id"] for row in whole["messages"]] == path
        assert whole["branch"] == whole["conversation"]["active_branch"]
        with_siblings = [node for node in self.tree.path if len(self.tree.siblings(node)) > 1]
        assert set(whole["siblings"]) == {node.id for node in with_siblings}
        for node in with_siblings:
            siblings, shown = self.tree.siblings(node), whole["siblings"][node.id]
            assert (shown["position"], shown["count"]) == (
                siblings.index(node) + 1,
                len(siblings),
            )
            assert {each["id"] for each in shown["messages"]} <= {each.id for each in siblings}
        everything = self.load(page_size=200, view="all")
        assert [row["id"] for row in everything["messages"]] == [n.id for n in self.tree.nodes]
        assert (everything["branch"], everything["siblings"]) == (None, {})
        self._check_by_pages()

    def _check_by_pages(self) -> None:
        path = [node.seq for node in self.tree.path]
        for place in {path[0], path[len(path) // 2], path[-1]}:
            for limit in (1, 3):
                before = self.load(page_size=limit, before=place)
                after = self.load(page_size=limit, after=place)
                around = self.load(page_size=limit, around=self.tree.nodes[place - 1].id)
                older = [seq for seq in path if seq < place]
                newer = [seq for seq in path if seq > place]
                assert _seqs(before) == (older[-limit:], older[:-limit] != [], True)
                assert _seqs(after) == (newer[:limit], True, newer[limit:] != [])
                shown = _seqs(around)[0]
                first = path.index(shown[0])
                assert place in shown
                assert shown == path[first : first + min(limit, len(path))]


def _seqs(page: dict[str, Any]) -> tuple[list[int], bool, bool]:
    return (
        [row["seq"] for row in page["messages"]],
        page["page"]["has_older"],
        page["page"]["has_newer"],
    )
