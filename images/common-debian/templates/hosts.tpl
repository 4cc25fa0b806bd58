{{ config_get("user.stratiform.hosts", "127.0.0.1 localhost") }}
