"""A conversation as a tree, which is what branches are to be seen as: each message has a parent."""

from dataclasses import dataclass, field


@dataclass(eq=False)
class Node:
    """A message: its seq is its place in the list of all."""

    id: str
    role: str
    parent: "Node | None"
    seq: int
    answers: "Node | None" = None  # of a reply, the user's message
    content: str = ""


@dataclass
class Tree:
    """Messages in the order of writing, and the last of the path that is active."""

    nodes: list[Node] = field(default_factory=list)
    tip: Node | None = None

    def add(
        self,
        id_: str,
        role: str,
        parent: Node | None,
        *,
        answers: Node | None = None,
        content: str = "",
    ) -> Node:
        """Write a message below another one; the path ends with it then."""
        self.tip = Node(id_, role, parent, len(self.nodes) + 1, answers, content)
        self.nodes.append(self.tip)
        return self.tip

    def path_to(self, tip: Node | None) -> list[Node]:
        """Return the messages from the first to this one."""
        path = []
        while tip is not None:
            path.append(tip)
            tip = tip.parent
        return path[::-1]

    @property
    def path(self) -> list[Node]:
        """The active path."""
        return self.path_to(self.tip)

    def siblings(self, node: Node) -> list[Node]:
        """Return the messages that follow the same one, itself among them."""
        return [each for each in self.nodes if each.parent is node.parent]

    def newest_below(self, node: Node) -> Node:
        """Return the last message that was written on a path through this one."""
        return next(each for each in reversed(self.nodes) if node in self.path_to(each))
