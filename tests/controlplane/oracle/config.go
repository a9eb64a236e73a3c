package main

import (
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
)

var empty = json.RawMessage(`{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"KubeSchedulerConfiguration"}`)

func decodeConfig(raw json.RawMessage) (*config.KubeSchedulerConfiguration, error) {
	if len(raw) == 0 || string(raw) == "null" {
		raw = empty
	}
	object, gvk, err := scheme.Codecs.UniversalDecoder().Decode(raw, nil, nil)
	if err != nil {
		return nil, err
	}
	cfg, ok := object.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("is no KubeSchedulerConfiguration but %s", gvk)
	}
	cfg.TypeMeta.APIVersion = gvk.GroupVersion().String()
	return cfg, nil
}

func loadConfig(raw json.RawMessage) (*config.KubeSchedulerConfiguration, error) {
	cfg, err := decodeConfig(raw)
	if err != nil {
		return nil, err
	}
	return cfg, validation.ValidateKubeSchedulerConfiguration(cfg)
}

// validate answers with every complaint about a configuration, and with its profiles as defaulted and expanded.
func validate(raw json.RawMessage) Answer {
	cfg, err := decodeConfig(raw)
	if err != nil {
		return Answer{Errors: []string{err.Error()}}
	}
	answer := Answer{}
	if err := validation.ValidateKubeSchedulerConfiguration(cfg); err != nil {
		for _, each := range utilerrors.Flatten(err).Errors() {
			answer.Errors = append(answer.Errors, each.Error())
		}
		return answer
	}
	world, err := newWorld(&Question{Config: raw})
	if err != nil {
		return Answer{Errors: []string{err.Error()}}
	}
	defer world.close()
	profiles := map[string]map[string][]config.Plugin{}
	for name, f := range world.sched.Profiles {
		plugins := f.ListPlugins()
		points := map[string]config.PluginSet{
			"preEnqueue": plugins.PreEnqueue, "queueSort": plugins.QueueSort, "preFilter": plugins.PreFilter,
			"filter": plugins.Filter, "postFilter": plugins.PostFilter, "preScore": plugins.PreScore,
			"score": plugins.Score, "reserve": plugins.Reserve, "permit": plugins.Permit,
			"preBind": plugins.PreBind, "bind": plugins.Bind, "postBind": plugins.PostBind,
		}
		profiles[name] = map[string][]config.Plugin{}
		for point, set := range points {
			profiles[name][point] = set.Enabled
		}
	}
	answer.Profile = profiles
	return answer
}

func uidOf(pod *v1.Pod) types.UID { return types.UID(keyOf(pod)) }
