//go:build release_1_36

package main

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

func (w *World) enqueue(pod *v1.Pod) { w.sched.SchedulingQueue.Add(w.ctx, pod) }

func (w *World) requeue(old, pod *v1.Pod) { w.sched.SchedulingQueue.Update(w.ctx, old, pod) }

func (w *World) choose(f framework.Framework, state fwk.CycleState, pod *v1.Pod) (scheduler.ScheduleResult, error) {
	// The cycle takes its snapshot before it comes here.
	if err := w.refresh(); err != nil {
		return scheduler.ScheduleResult{}, err
	}
	info, err := framework.NewPodInfo(pod)
	if err != nil {
		return scheduler.ScheduleResult{}, err
	}
	return w.sched.SchedulePod(w.ctx, f, state, &framework.QueuedPodInfo{PodInfo: info})
}

func recorder(string) events.EventRecorderLogger { return silent{} }

func (s silent) WithLogger(klog.Logger) events.EventRecorderLogger { return s }
