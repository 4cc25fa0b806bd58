{{ config_get("user.stratiform.hostname", container.name) }}
