# Access control: one more file in /etc/consulpy.d, the same on all agents. docs/production.md makes the tokens.
acl {
  enabled        = true
  default_policy = "deny"
  # A client agent that reaches no server uses the rules that it knows.
  down_policy = "extend-cache"
  # Tokens given by `consulpy acl set-agent-token` stay over restarts, in the data directory.
  enable_token_persistence = true
}
