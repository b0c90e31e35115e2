"""Small graphs as events, and a set of them: molecules whose atoms have from one to four arms."""

import numpy as np

from keras_ar import arguments

__all__ = ["adjacency", "is_valid", "molecules", "pairs"]


def pairs(num_nodes):
    """The two nodes of each edge of a complete graph, in the order that events hold the edges.

    Args:
        num_nodes: Integer, the number of nodes.

    Returns:
        Integer array of shape `(edges, 2)`.

    Example:

    >>> keras_ar_flows.graphs.pairs(3).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    num_nodes = arguments.integer(num_nodes, "num_nodes", least=2)
    return np.stack(np.triu_indices(num_nodes, k=1), axis=1)


def adjacency(x, num_nodes):
    """The types of edges of graphs as symmetric matrices.

    Args:
        x: Integer array of shape `(graphs, nodes + edges)`: the type of each node, then that of each edge.
        num_nodes: Integer, the number of nodes.

    Returns:
        Integer array of shape `(graphs, nodes, nodes)`, zero on the diagonal.

    Example:

    >>> keras_ar_flows.graphs.adjacency(np.array([[1, 1, 2]]), num_nodes=2).tolist()
    [[[0, 2], [2, 0]]]
    """
    x = np.asarray(x)
    first, second = pairs(num_nodes).T
    found = np.zeros((len(x), num_nodes, num_nodes), x.dtype)
    found[:, first, second] = found[:, second, first] = x[:, num_nodes:]
    return found


def molecules(count, num_nodes=6, seed=0):
    """Random molecules: atoms of type `t` have `t` arms, and edges of type `t` are bonds that take `t` arms of both.

    Type 0 is no atom, or no bond. Of two to `num_nodes` atoms, all are connected, some by double and triple bonds and
    in rings, and no atom has more bonds than arms. Atoms are in random order.

    Args:
        count: Integer, number of molecules.
        num_nodes: Integer, the most atoms that one has. Defaults to `6`.
        seed: Integer. Defaults to `0`.

    Returns:
        int32 array of shape `(count, nodes + edges)`, of five levels.

    Example:

    >>> x = keras_ar_flows.graphs.molecules(100, num_nodes=4, seed=1)
    >>> x.shape, bool(keras_ar_flows.graphs.is_valid(x, num_nodes=4).all())
    ((100, 10), True)
    """
    count = arguments.integer(count, "count")
    rng = np.random.default_rng(seed)
    return np.stack([_molecule(num_nodes, rng) for _ in range(count)]).astype("int32")


def _molecule(num_nodes, rng):
    size = rng.integers(2, num_nodes + 1)
    while True:
        arms = rng.choice([1, 2, 3, 4], size, p=[0.2, 0.2, 0.2, 0.4])
        free, bonds = arms.copy(), np.zeros((num_nodes, num_nodes), int)
        for atom in range(1, size):  # each is bound to one before it that has an arm left
            others = np.flatnonzero(free[:atom])
            if not len(others):
                break
            _bind(bonds, free, atom, rng.choice(others))
        else:
            break
    for _ in range(rng.integers(0, size)):  # a second or third bond, or a ring
        able = np.flatnonzero(free)
        if len(able) > 1:
            first, second = rng.choice(able, 2, replace=False)
            if bonds[first, second] < 3:
                _bind(bonds, free, first, second)
    order = rng.permutation(num_nodes)
    first, second = pairs(num_nodes).T
    types = np.concatenate([arms, np.zeros(num_nodes - size, int)])
    return np.concatenate([types[order], bonds[order][:, order][first, second]])


def _bind(bonds, free, first, second):
    bonds[first, second] += 1
    bonds[second, first] += 1
    free[first] -= 1
    free[second] -= 1


def is_valid(x, num_nodes=6):
    """Whether graphs are such molecules.

    Args:
        x: Integer array of shape `(graphs, nodes + edges)`, as `molecules` makes it.
        num_nodes: Integer, as there. Defaults to `6`.

    Returns:
        Boolean array of shape `(graphs,)`.

    Example:

    >>> one_arm, two_bonds = [1, 1, 1], [1, 1, 2]
    >>> keras_ar_flows.graphs.is_valid(np.array([one_arm, two_bonds]), num_nodes=2).tolist()
    [True, False]
    """
    x = np.asarray(x)
    bonds, arms = adjacency(x, num_nodes), x[:, :num_nodes]
    is_atom = arms > 0
    has_arms = (bonds.sum(axis=2) <= arms).all(axis=1) & (bonds <= 3).all(axis=(1, 2))
    reached = np.arange(num_nodes) == is_atom.argmax(axis=1)[:, None]
    for _ in range(num_nodes):
        reached |= ((bonds > 0) & reached[:, :, None]).any(axis=1)
    return has_arms & (is_atom.sum(axis=1) > 1) & (reached == is_atom).all(axis=1)
