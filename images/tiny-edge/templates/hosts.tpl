127.0.0.1 localhost
{{ config_get("user.stratiform.hosts", "") }}
