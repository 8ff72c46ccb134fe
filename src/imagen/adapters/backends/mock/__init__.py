"""The mock backend: draws a picture locally, without a model, network or cost."""
