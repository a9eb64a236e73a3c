//go:build !release_1_36

package main

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// What is called otherwise in another release stands in one file for each.

func (w *World) enqueue(pod *v1.Pod) { w.sched.SchedulingQueue.Add(klog.FromContext(w.ctx), pod) }

func (w *World) requeue(old, pod *v1.Pod) {
	w.sched.SchedulingQueue.Update(klog.FromContext(w.ctx), old, pod)
}

func (w *World) choose(f framework.Framework, state fwk.CycleState, pod *v1.Pod) (scheduler.ScheduleResult, error) {
	return w.sched.SchedulePod(w.ctx, f, state, pod)
}

func recorder(string) events.EventRecorder { return silent{} }
