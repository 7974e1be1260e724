"""Streaming: `subscribe.StateChangeSubscription`, by which newer client agents follow the health of a service.

`messages`: the protobuf of requests and events. `feed`: what one service's subscribers are sent. `service`: the method.
Source: proto/pbsubscribe and proto/pbservice of Consul 1.9 to 1.14, and their later versions, read.
"""
