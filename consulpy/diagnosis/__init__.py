"""Why a member is failed, why a join does nothing: causes with their evidence, for `why` and `doctor`.

`causes` has the codes, `pings` asks a member actively, `member` judges one, `target` an address to join.
"""
