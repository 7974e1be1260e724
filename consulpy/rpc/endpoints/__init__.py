"""The RPC methods, one file for each of Consul's nouns; `consulpy.rpc.methods` imports them when they are needed."""
