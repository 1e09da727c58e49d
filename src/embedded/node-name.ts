// The name of the embedded node, as _membership, _node and _shards tell it.
export const NODE_NAME = 'embedded@127.0.0.1';
