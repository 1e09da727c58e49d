// Defines the Erlang-style node name that _membership, _node, _shards and _scheduler report.
/** Name of the one node of this cluster. */
export const NODE_NAME = 'embedded@127.0.0.1';
