{{ config_get("user.stratiform.network", "") }}
